import { describe, expect, test } from "vitest";
import { allAnswers } from "../aggregator/all.ts";
import type { FailoverContext } from "../contracts/failover-policy.ts";
import type { FailureKind } from "../contracts/failure.ts";
import { DavpoolError, describeError, isDavpoolError } from "../errors/davpool-error.ts";
import { DuplicateServerError, ForbiddenAddressError, StoreError } from "../errors/index.ts";
import { defaultFailover } from "../failover/default-policy.ts";
import { allAggregator, version } from "../index.ts";
import { Counters } from "./counters.ts";
import { RetryBudget } from "./retry-budget.ts";

describe("the retry budget", () => {
  const spend = (budget: RetryBudget) => {
    let spent = 0;
    while (spent < 10_000 && budget.withdraw()) spent++;
    return spent;
  };

  test("starts full, with at least thirty", () => {
    expect(spend(new RetryBudget(0.2))).toBe(30);
  });

  test("allows the largest server's connections to fail over at once", () => {
    const budget = new RetryBudget(0.2);
    budget.atLeast(10);
    budget.atLeast(100);
    budget.atLeast(50);
    expect(spend(budget)).toBe(100);
  });

  test("gets a share of every call, up to its capacity", () => {
    const budget = new RetryBudget(0.2);
    spend(budget);
    for (let call = 0; call < 26; call++) budget.deposit();
    expect(spend(budget)).toBe(5);
    for (let call = 0; call < 10_000; call++) budget.deposit();
    expect(spend(budget)).toBe(30);
  });

  test("of zero allows nothing", () => {
    expect(spend(new RetryBudget(0))).toBe(0);
  });
});

describe("counters", () => {
  test("add what earlier runs counted when shown, and only what is new when saved", () => {
    const counters = new Counters();
    const before = { total: 10, successful: 6, failed: 4, failoverCount: 1, responseTimeSum: 100 };
    counters.restore(before);
    expect([counters.current, counters.unsaved]).toEqual([before, false]);
    counters.ended(true, 5, true);
    counters.ended(false, 7, false);
    expect(counters.current).toEqual({ total: 12, successful: 7, failed: 5, failoverCount: 2, responseTimeSum: 105 });
    const lost = counters.addTo(before);
    const saved = counters.addTo(before);
    expect(saved.counters).toEqual(lost.counters);
    counters.ended(true, 1, false);
    saved.commit();
    expect(counters.unsaved).toBe(true);
    expect(counters.addTo(saved.counters).counters.total).toBe(13);
  });
});

describe("the default failover policy", () => {
  const policy = defaultFailover.create({} as never, {});
  const decide = (kind: FailureKind | undefined, context: Partial<FailoverContext> = {}) =>
    policy.decide({
      traits: { operation: "GET", repeat: "safe", replayable: true },
      attempts: [
        {
          serverId: "a",
          outcome: "failed",
          latency: 1,
          ...(kind && { failure: { kind, blame: "server", message: "" } }),
        },
      ],
      remaining: 10_000,
      untried: 1,
      pinned: false,
      profile: {} as never,
      random: () => 1,
      ...context,
    });

  test("moves free of charge after a connection failure, and charged after anything else", () => {
    const move = { action: "retry", on: "other", delay: 0 };
    expect(decide("unsent")).toEqual({ ...move, charge: false });
    expect(decide("broken")).toEqual({ ...move, charge: false });
    expect(decide("timeout")).toEqual({ ...move, charge: true });
    expect(decide("overload")).toEqual({ ...move, charge: true });
  });

  test.each<FailureKind | undefined>(["rejected", "invalid", "cancelled", undefined])("settles after %s", (kind) => {
    expect(decide(kind)).toEqual({ action: "settle" });
  });

  test("waits no longer than its longest pause, whatever is asked for", () => {
    const attempts = Array.from({ length: 12 }, () => ({
      serverId: "a",
      outcome: "answered" as const,
      latency: 1,
      failure: { kind: "overload" as const, blame: "server" as const, message: "", retryAfter: 3_600_000 },
    })) as never;
    expect(decide("overload", { attempts, untried: 0 })).toMatchObject({ delay: 5_000, on: "other" });
  });
});

describe("the aggregator all", () => {
  test("waits for every server and chooses none", async () => {
    async function* arrivals() {
      yield { serverId: "b", ok: true, value: 1 } as const;
      yield { serverId: "a", ok: false, failure: { kind: "unsent", blame: "server", message: "" } } as const;
    }
    const { from, results, value } = await allAnswers.aggregate(arrivals(), {
      servers: 2,
      key: String,
      succeeded: ({ ok }) => ok,
    });
    expect([from, results.length, value]).toEqual([["b"], 2, undefined]);
    expect(allAggregator.create({} as never, {})).toBe(allAnswers);
  });
});

describe("errors", () => {
  test("have a code, details and their own name, and are known across copies of the package", () => {
    const error = new DuplicateServerError("a");
    expect(error).toMatchObject({ name: "DuplicateServerError", code: "DUPLICATE_SERVER", details: { serverId: "a" } });
    expect("cause" in error).toBe(false);
    expect(isDavpoolError(error)).toBe(true);
    expect(isDavpoolError(Object.assign(new Error("x"), { [Symbol.for("davpool:error")]: true }))).toBe(true);
    for (const other of [new Error("x"), null, "x", undefined]) expect(isDavpoolError(other)).toBe(false);
    expect(new DavpoolError("X", "y", { cause: 1 }).cause).toBe(1);
    expect(new StoreError("STORE_CORRUPT", "broken").details).toEqual({});
    expect(new ForbiddenAddressError("file:", "no files", "Use http.").message).toBe(
      "file: is refused: no files. Use http.",
    );
  });

  test.each([
    [new Error("why"), "why"],
    [new TypeError(""), "TypeError"],
    [new AggregateError([new Error("first")], ""), "first"],
    [new AggregateError([], ""), "AggregateError"],
    [new AggregateError([new Error("first")], "all"), "all"],
    ["text", "text"],
    [undefined, "undefined"],
  ])("are described in one line: %s", (error, expected) => {
    expect(describeError(error)).toBe(expected);
  });
});

test("the version is that of the package", () => {
  expect(version).toMatch(/^\d+\.\d+\.\d+/);
});
