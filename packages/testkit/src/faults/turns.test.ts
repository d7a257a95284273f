import { expect, test } from "vitest";
import { Turns } from "./turns.ts";
import type { FaultTurns } from "./turns.ts";

function taken(options: FaultTurns, count: number): string {
  const turns = new Turns(options);
  return Array.from({ length: count }, () => (turns.take() ? "x" : ".")).join("");
}

test.each<[FaultTurns, string]>([
  [{}, "xxxxxxxx"],
  [{ times: 3 }, "xxx....."],
  [{ flapping: { fail: 2, answer: 1 } }, "xx.xx.xx"],
  [{ flapping: { fail: 1, answer: 2 }, times: 2 }, "x..x...."],
  [{ flapping: { fail: 0, answer: 1 } }, "........"],
])("%j takes %s", (options, expected) => {
  expect(taken(options, 8)).toBe(expected);
});
