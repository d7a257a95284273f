import { expect, test } from "vitest";
import { systemClock } from "./clock.ts";

test("a delay that no timer can hold never fires, instead of at once", async () => {
  let fired = false;
  for (const ms of [2 ** 31, Infinity]) systemClock.after(ms, () => (fired = true));
  systemClock.after(2, () => (fired = true))[Symbol.dispose]();
  await new Promise<void>((resolve) => {
    systemClock.after(5, resolve);
  });
  expect(fired).toBe(false);
});
