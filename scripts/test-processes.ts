/*
 * Ends the processes that tests start: a test that fails or times out may never reach the line that does so.
 */
import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { afterAll, beforeEach } from "vitest";
import { killTree } from "./process-tree.ts";

const running = new Set<ChildProcess>();

// Node.js announces every process that it starts without waiting for its end.
subscribe("child_process", (message) => {
  const { process: child } = message as { readonly process: ChildProcess };
  running.add(child);
  child.once("exit", () => running.delete(child));
});

beforeEach(({ onTestFinished }) => {
  const before = new Set(running);
  // Hooks run in reverse order: the test's own clean-up comes first.
  onTestFinished(() => end([...running].filter((child) => !before.has(child))));
});

afterAll(() => end([...running]));

async function end(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(async (child) => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      killTree(child.pid);
      await ended;
    }),
  );
}
