import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const README = readFileSync(`${PACKAGE}README.md`, "utf8");

/** Each block of TypeScript, and the output that the README shows after it. */
const PROGRAMS = [...README.matchAll(/```ts\n(.*?)```.*?```text\n(.*?)```/gs)].map(([, program = "", output]) => ({
  title: program.split("\n")[0],
  program,
  output,
}));

test.each(PROGRAMS)("the README's program that begins with $title prints what it says", async ({ program, output }) => {
  const options = ["--input-type=module-typescript", "--eval", program];
  const { stdout } = await promisify(execFile)(process.execPath, options, { cwd: PACKAGE });
  expect(stdout).toBe(output);
});
