import { fileURLToPath } from "node:url";

/** A configuration whose server offers everything that the official suites call for. */
export const CONFORMANCE_CONFIG = {
  plugins: [fileURLToPath(new URL("./plugin.test-support.ts", import.meta.url))],
  store: "memory",
  pools: { files: { transport: "webdav" } },
};
