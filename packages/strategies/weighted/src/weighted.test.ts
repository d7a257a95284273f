import { Scope, createManualClock, type RequestTraits, type Selector, type ServerView, type Use } from "@davpool/core";
import { expect, test } from "vitest";
import plugin, { weighted } from "./index.ts";

const read: RequestTraits = { operation: "GET", repeat: "safe", replayable: true };
const [a, b, c] = [server("a", 5), server("b", 1), server("c", 1)];

test("servers get their shares by weight, evenly spread", () => {
  expect(take(create(), 7, [a, b, c]).join("")).toBe("aabacaa");
  expect(count(take(create(), 700, [a, b, c]))).toEqual({ a: 500, b: 100, c: 100 });
});

test("servers of equal weight take turns", () => {
  expect(count(take(create(), 300, [server("x", 1), server("y", 1), server("z", 1)]))).toEqual({
    x: 100,
    y: 100,
    z: 100,
  });
});

test("while a server is missing the others keep their proportion, and its return is no burst", () => {
  const selector = create();
  take(selector, 70, [a, b, c]);
  expect(count(take(selector, 60, [a, b]))).toEqual({ a: 50, b: 10 });
  const back = take(selector, 70, [a, b, c]);
  expect(count(back)).toEqual({ a: 50, b: 10, c: 10 });
  expect(back.join("")).not.toContain("cc");
});

test("a changed weight counts from the next choice on", () => {
  const selector = create();
  take(selector, 70, [a, b]);
  expect(count(take(selector, 60, [server("a", 1), server("b", 5)]))).toEqual({ a: 10, b: 50 });
});

test("a server that left and joins again starts anew", () => {
  const selector = create();
  take(selector, 3, [b, c]);
  selector.forget?.("c");
  expect(take(selector, 2, [b, c]).toSorted()).toEqual(["b", "c"]);
});

test("it is named in a configuration, has no options, and may be listed as a plugin", () => {
  expect(plugin).toBe(weighted);
  const uses: Use<[], "selector">[] = [
    "weighted",
    { type: "weighted" },
    // @ts-expect-error there is no such option
    { type: "weighted", weight: 1 },
  ];
  expect(uses).toHaveLength(3);
});

function create(): Selector {
  return weighted.create(
    {
      pool: "files",
      primary: true,
      clock: createManualClock(),
      random: Math.random,
      log: { debug() {}, info() {}, warn() {}, error() {} },
      services: new Scope(),
      baseDirectory: "/",
    },
    {},
  );
}

function take(selector: Selector, times: number, candidates: readonly [ServerView, ...ServerView[]]): string[] {
  return Array.from({ length: times }, () => selector.select(candidates, read).serverId);
}

function count(chosen: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const serverId of chosen) counts[serverId] = (counts[serverId] ?? 0) + 1;
  return counts;
}

function server(serverId: string, weight: number): ServerView {
  const rest = {
    priority: 1,
    group: undefined,
    health: "healthy",
    enabled: true,
    inFlight: 0,
    maxConnections: 10,
  } as const;
  return { serverId, weight, ...rest };
}
