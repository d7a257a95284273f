export { startApache } from "./apache.ts";
export type { ApacheOptions } from "./apache.ts";
export { missingProgram } from "./program.ts";
export type { RealServer } from "./server-process.ts";
