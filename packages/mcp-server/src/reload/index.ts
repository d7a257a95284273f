export { Reloader } from "./reloader.ts";
export type { AppliedChanges, ReloadResult, ReloaderParts } from "./reloader.ts";
