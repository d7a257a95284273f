export { FileStore } from "./file-store.ts";
export type { FileStoreInit } from "./file-store.ts";
export { fileStore, fileStore as default } from "./plugin.ts";
