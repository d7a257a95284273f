import { createManualClock } from "@davpool/core";
import { expect, test } from "vitest";
import { RateLimiter } from "./rate-limiter.ts";

test("lets a burst pass, then as many as flow in", () => {
  const clock = createManualClock();
  const limiter = new RateLimiter({ requests: 60, per: 60_000, burst: 3 }, clock);
  expect([1, 2, 3, 4].map(() => limiter.take("a"))).toEqual([0, 0, 0, 1_000]);
  expect(limiter.take("b")).toBe(0);
  clock.advance(999);
  expect(limiter.take("a")).toBe(1);
  clock.advance(1);
  expect([limiter.take("a"), limiter.take("a")]).toEqual([0, 1_000]);
  clock.advance(60_000);
  expect([1, 2, 3, 4].map(() => limiter.take("a"))).toEqual([0, 0, 0, 1_000]);
});

test("is exact where a limit gives fractions", () => {
  const clock = createManualClock();
  const limiter = new RateLimiter({ requests: 7, per: 1_000, burst: 7 }, clock);
  for (let round = 0; round < 5; round++) {
    expect(Array.from({ length: 7 }, () => limiter.take("a"))).toEqual([0, 0, 0, 0, 0, 0, 0]);
    expect(limiter.take("a")).toBeGreaterThan(140);
    clock.advance(1_000);
  }
});

test("what is counted beyond the limit has to be waited for, within bounds", () => {
  const clock = createManualClock();
  const limiter = new RateLimiter({ requests: 60, per: 60_000, burst: 2 }, clock);
  for (let count = 0; count < 3; count++) limiter.count("a");
  expect(limiter.wait("a")).toBe(2_000);
  for (let count = 0; count < 1_000; count++) limiter.count("a");
  expect(limiter.wait("a")).toBe(3_000);
});

test("forgets buckets that are full again, and never keeps more than a fixed number", () => {
  const clock = createManualClock();
  const limiter = new RateLimiter({ requests: 60, per: 60_000, burst: 2 }, clock);
  for (let index = 0; index < 100_500; index++) limiter.take(`a${index}`);
  expect(limiter.size).toBeLessThanOrEqual(100_000);
  clock.advance(60_000);
  for (let index = 0; index < 60_000; index++) limiter.count("b");
  expect(limiter.size).toBe(1);
});
