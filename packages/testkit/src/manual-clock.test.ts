import type { Clock as CoreClock } from "@davpool/core";
import { expect, expectTypeOf, test } from "vitest";
import type { Clock } from "./clock.ts";
import { ManualClock } from "./manual-clock.ts";

test("a manual clock runs what is due in order, each at its own time", () => {
  const clock = new ManualClock(new Date("2026-05-01T00:00:00Z"));
  const ran: [string, number][] = [];
  clock.after(30, () => ran.push(["late", clock.now()]));
  clock.after(10, () => {
    ran.push(["early", clock.now()]);
    clock.after(5, () => ran.push(["started by early", clock.now()]));
  });
  clock.advance(20);
  expect(ran).toEqual([
    ["early", 10],
    ["started by early", 15],
  ]);
  expect(clock.pending).toBe(1);
  expect(clock.wall()).toEqual(new Date("2026-05-01T00:00:00.020Z"));
});

test("a disposed timer does not run", () => {
  const clock = new ManualClock();
  let ran = false;
  clock.after(1, () => (ran = true))[Symbol.dispose]();
  clock.advance(10);
  expect(ran).toBe(false);
});

test("one can wait for somebody to start a timer", async () => {
  const clock = new ManualClock();
  const two = clock.scheduled(2);
  clock.after(1, () => {});
  clock.after(1, () => {});
  await expect(two).resolves.toBeUndefined();
});

test("a manual clock fits the framework, and the framework's clock fits a server", () => {
  expectTypeOf<ManualClock>().toExtend<CoreClock>();
  expectTypeOf<CoreClock>().toExtend<Clock>();
});
