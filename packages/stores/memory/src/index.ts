export { MemoryStore } from "./memory-store.ts";
export { memoryStore, memoryStore as default } from "./plugin.ts";
