import { expect, test } from "vitest";
import { ByteBudget } from "./byte-budget.ts";

const budget = () => new ByteBudget({ total: 100, perPrincipal: 60 });

test("bytes are given back when their request has been answered", () => {
  const bytes = budget();
  const lease = bytes.lease("alice");
  lease.take(40);
  lease.take(20);
  expect(bytes.held).toBe(60);
  lease[Symbol.dispose]();
  lease[Symbol.dispose]();
  expect(bytes.held).toBe(0);
  expect(() => bytes.lease("alice").take(60)).not.toThrow();
});

test("a request that never fits is told so, and one that may fit later is told to wait", () => {
  const bytes = budget();
  expect(() => bytes.lease("alice").take(61)).toThrow(expect.objectContaining({ status: 413 }) as Error);
  expect(() => bytes.lease(undefined).take(101)).toThrow(expect.objectContaining({ status: 413 }) as Error);
  bytes.lease("alice").take(50);
  expect(() => bytes.lease("alice").take(20)).toThrow(expect.objectContaining({ status: 429 }) as Error);
  bytes.lease("bob").take(40);
  expect(() => bytes.lease("carol").take(20)).toThrow(expect.objectContaining({ status: 429 }) as Error);
  expect(bytes.held).toBe(90);
});
