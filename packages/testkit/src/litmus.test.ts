import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createWebDavServer } from "./server.ts";

const LITMUS = "/usr/bin/litmus";

// In CI a missing litmus is a failure: there it is part of the set-up.
test.skipIf(!existsSync(LITMUS) && !process.env["CI"])("litmus passes in full", async () => {
  await using server = await createWebDavServer({ auth: { username: "user", password: "pass" } });
  const report = await runLitmus([server.url, "user", "pass"]);
  const summaries = [...report.matchAll(/summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed/g)];
  // The whole report, for whoever sees it fail.
  expect(report).not.toMatch(/FAIL|WARNING/);
  expect(Object.fromEntries(summaries.map(([, suite, run, passed]) => [suite, `${passed}/${run}`]))).toEqual({
    basic: "16/16",
    copymove: "13/13",
    props: "30/30",
    locks: "41/41",
    http: "4/4",
  });
});

/** litmus writes logs into its working directory. */
async function runLitmus(target: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "litmus-"));
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(LITMUS, ["-k", ...target], { cwd: folder });
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
      child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
      child.once("error", reject).once("close", () => resolve(output));
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}
