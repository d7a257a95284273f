import { createRequire } from "node:module";

/** This package's version, as telemetry and the command line report it. */
export const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };
