import { definePlugin } from "@davpool/core";
import { MemoryStore } from "./memory-store.ts";

declare module "@davpool/core" {
  interface StoreOptions {
    memory: object;
  }
}

/** The store `memory`: what is added at run time is forgotten when the process ends. */
export const memoryStore = definePlugin({
  kind: "store",
  name: "memory",
  create: () => new MemoryStore(),
});
