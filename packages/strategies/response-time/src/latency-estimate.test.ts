import { expect, test } from "vitest";
import { LatencyEstimate } from "./latency-estimate.ts";

test("after three answers a server is known, and the last of them counts: the first ones opened connections", () => {
  const estimate = new LatencyEstimate(10_000);
  const unknown = [90, 30, 20].map((latency) => {
    estimate.answered(latency, 0);
    return estimate.unknown(0);
  });
  expect(unknown).toEqual([true, true, false]);
  expect(estimate.value).toBe(20);
});

test("after one failure a server is known", () => {
  const estimate = new LatencyEstimate(10_000);
  estimate.failed(5_000, 0);
  expect([estimate.unknown(0), estimate.value]).toEqual([false, 5_000]);
});

test("a lower bound of an unknown server is news only above what is expected of it", () => {
  const estimate = new LatencyEstimate(10_000);
  estimate.atLeast(3, 5, 0);
  expect(estimate.unknown(0)).toBe(true);
  estimate.atLeast(6, 5, 0);
  expect([estimate.unknown(0), estimate.value]).toEqual([false, 6]);
});

test("a slower answer replaces the estimate at once", () => {
  const estimate = known(10_000, 20);
  estimate.answered(300, 1);
  expect(estimate.value).toBe(300);
});

test("after faster answers 37 % of the difference is left when the decay time is over", () => {
  const estimate = known(10_000, 105);
  for (let now = 1_000; now <= 10_000; now += 1_000) estimate.answered(5, now);
  expect(estimate.value).toBeCloseTo(5 + 100 * Math.exp(-1), 6);
});

test("after fifty faster answers it is as much, however quickly they came", () => {
  const estimate = known(10_000, 105);
  for (let now = 1; now <= 50; now++) estimate.answered(5, now);
  expect(estimate.value).toBeCloseTo(5 + 100 * 0.98 ** 50, 6);
  expect(estimate.value).toBeLessThan(5 + 100 * 0.37);
});

test("a failure raises the estimate, and each answer takes away nine tenths of that", () => {
  const estimate = known(10_000, 5);
  estimate.failed(5_000, 0);
  expect(estimate.value).toBe(5_000);
  estimate.failed(100, 0);
  expect(estimate.value).toBe(5_000);
  const left = [1, 2, 3].map(() => {
    estimate.answered(5, 0);
    return estimate.value;
  });
  expect(left[0]).toBeLessThanOrEqual(500);
  expect(left[1]).toBeLessThanOrEqual(50);
  expect(left[2]).toBe(5);
});

test("a lower bound raises the estimate and never lowers it", () => {
  const estimate = known(10_000, 50);
  estimate.atLeast(20, 5, 5_000);
  expect([estimate.value, estimate.seenAt]).toEqual([50, 0]);
  estimate.atLeast(80, 5, 5_000);
  expect([estimate.value, estimate.seenAt]).toEqual([80, 5_000]);
});

test("without news for six decay times everything is forgotten, a failure too", () => {
  const estimate = known(1_000, 50);
  estimate.failed(5_000, 0);
  expect(estimate.unknown(6_000)).toBe(false);
  expect(estimate.unknown(6_001)).toBe(true);
  // Even a lower bound below what was known is news then.
  estimate.atLeast(20, 5, 6_001);
  expect([estimate.value, estimate.unknown(6_001)]).toEqual([20, false]);
});

function known(decay: number, latency: number): LatencyEstimate {
  const estimate = new LatencyEstimate(decay);
  for (let answer = 0; answer < 3; answer++) estimate.answered(latency, 0);
  return estimate;
}
