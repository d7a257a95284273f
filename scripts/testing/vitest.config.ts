import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const pathOf = (file: string) => fileURLToPath(new URL(file, import.meta.url));

/** Runs tests that leave things behind, as the project's own configuration would. */
export default defineConfig({
  test: {
    dir: pathOf("."),
    include: ["leftovers.ts"],
    globalSetup: pathOf("../test-folder.ts"),
    setupFiles: pathOf("../test-processes.ts"),
    hookTimeout: 300_000,
  },
});
