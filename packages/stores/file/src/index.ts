export { FileStore } from "./file-store.ts";
export type { FileStoreInit } from "./file-store.ts";
export { fileStore, fileStore as default, storePath } from "./plugin.ts";
export { rekey } from "./rekey.ts";
export type { RekeyInit } from "./rekey.ts";
