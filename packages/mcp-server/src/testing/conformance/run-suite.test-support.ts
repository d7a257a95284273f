import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "../davpool-process.test-support.ts";
import { runProgram } from "../run-program.test-support.ts";

interface Check {
  readonly id: string;
  readonly status: "SUCCESS" | "FAILURE" | "WARNING" | "SKIPPED" | "INFO";
  readonly errorMessage?: string;
}

export interface SuiteResult {
  readonly passed: number;
  /** Checks that failed or warned, as `scenario:check`. */
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
  /** What the suite wrote, for whoever looks into a failure. */
  readonly report: string;
}

/** Runs the official conformance suite against a server. @param program the suite's own command line. */
export async function runSuite(program: string, url: string, parameters: readonly string[]): Promise<SuiteResult> {
  await using folder = await temporaryFolder();
  const results = join(folder.path, "results");
  const { stdout, stderr } = await runProgram(
    program,
    ["server", "--url", url, "--output-dir", results, ...parameters],
    folder.path,
  );
  let passed = 0;
  const failed: string[] = [];
  const skipped: string[] = [];
  let report = stdout + stderr;
  for (const directory of await readdir(results)) {
    const scenario = directory.replace(/^server-/, "").replace(/-\d{4}-\d\d-\d\dT[\d-]+Z$/, "");
    const checks = JSON.parse(await readFile(join(results, directory, "checks.json"), "utf8")) as Check[];
    for (const { id, status, errorMessage } of checks) {
      if (status === "SUCCESS") passed++;
      if (status === "SKIPPED") skipped.push(`${scenario}:${id}`);
      if (status !== "FAILURE" && status !== "WARNING") continue;
      failed.push(`${scenario}:${id}`);
      report += `${status} ${scenario}:${id}: ${errorMessage}\n`;
    }
  }
  return { passed, failed: failed.toSorted(), skipped, report };
}
