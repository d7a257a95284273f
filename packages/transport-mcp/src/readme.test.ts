import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));

test("the program in the README prints what the README says", async () => {
  const readme = await readFile(`${PACKAGE}README.md`, "utf8");
  const program = readme.split("## In a program")[1]?.split("```ts\n")[1]?.split("```")[0] ?? "";
  const output = readme.split("```text\n")[1]?.split("```")[0];
  const options = ["--input-type=module-typescript", "--eval", program];
  const { stdout } = await promisify(execFile)(process.execPath, options, { cwd: PACKAGE });
  expect(stdout).toBe(output);
});
