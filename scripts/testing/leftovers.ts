import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";

/** A process that lives as long as its connection, and so may another one that it starts. */
const PROGRAM = `
require("node:net").connect(process.env.LEFTOVERS_PORT, () => process.stdout.write("."));
const { spawn } = require("node:child_process");
if (process.argv[1] === "two") spawn(process.execPath, ["-e", process.argv[2]], { stdio: ["ignore", "inherit", "ignore"] });
`;

/** Leaves a folder and two processes behind. */
async function leave(detached: boolean): Promise<void> {
  mkdtempSync(join(tmpdir(), "left-"));
  const stdio = ["ignore", "pipe", "inherit"] as const;
  const child = spawn(process.execPath, ["-e", PROGRAM, "two", PROGRAM], { detached, stdio: [...stdio] });
  let connected = 0;
  for await (const dots of child.stdout.iterator({ destroyOnReturn: false })) {
    connected += (dots as Buffer).length;
    if (connected === 2) return;
  }
}

// In a hook, so that the limit of the test does not include it.
beforeEach(async () => {
  await leave(false);
  await leave(true);
});

const never = new Promise(() => {});

test("fails", () => expect("this").toBe("something else"));
test("times out", { timeout: 1 }, () => expect(never).resolves.toBe(true));
test("hangs", { timeout: 0 }, () => expect(never).resolves.toBe(true));
