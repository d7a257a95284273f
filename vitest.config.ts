import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Runs of benchmarks wait for long, which others can make use of if they come after. */
class BenchmarksFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => (moduleId.includes("/bench/") ? 0 : 1);
    // oxlint-disable-next-line unicorn/no-array-sort -- it is not that of an array
    const sorted = await super.sort(files);
    return sorted.toSorted((one, other) => rank(one) - rank(other));
  }
}

export default defineConfig({
  test: {
    include: [
      "packages/**/src/**/*.test.ts",
      "examples/**/*.test.ts",
      "docs/**/*.test.ts",
      "bench/src/**/*.test.ts",
      "scripts/*.test.ts",
    ],
    globalSetup: ["scripts/test-folder.ts", "scripts/test-command.ts"],
    setupFiles: "scripts/test-processes.ts",
    // Otherwise one processor is kept free, on two as on twenty.
    maxWorkers: "100%",
    sequence: { sequencer: BenchmarksFirst },
    // These end a run that hangs. No result may depend on them, so a busy machine must stay far below.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 60_000,
    expect: { poll: { timeout: 240_000 } },
    retry: 0,
    typecheck: { enabled: false },
    coverage: {
      provider: "v8",
      include: ["packages/**/src/**/*.ts"],
      exclude: ["**/*.test.ts", "**/testing/**", "**/index.ts"],
      reporter: ["text-summary", "text", "json-summary"],
      thresholds: {
        // Its own tests alone reach more; merged with those of other packages the tool counts less.
        "packages/core/src/**": { branches: 88 },
        "packages/strategies/**": { branches: 90 },
        "packages/stores/**": { branches: 90 },
        "packages/transport-webdav/src/**": { branches: 88 },
      },
    },
  },
});
