import {
  Scope,
  createManualClock,
  validator,
  type RequestTraits,
  type Selector,
  type ServerView,
  type Use,
} from "@davpool/core";
import { expect, test } from "vitest";
import plugin, { random } from "./index.ts";

const read: RequestTraits = { operation: "GET", repeat: "safe", replayable: true };
const [a, b, c] = [server("a"), server("b"), server("c")];

test.for([1, 2, 3, 4, 5])("three equal servers get 70 to 130 of 300 requests each (seed %i)", (seed) => {
  const counts = count(take(create(seeded(seed)), 300, [a, b, c]));
  expect(Object.keys(counts).toSorted()).toEqual(["a", "b", "c"]);
  for (const share of Object.values(counts)) expect(Math.abs(share - 100)).toBeLessThanOrEqual(30);
});

test("every server is as likely as the others, and so is every pair of servers in a row", () => {
  const chosen = take(create(seeded(9)), 90_001, [a, b, c]);
  const pairs = count(chosen.slice(1).map((serverId, before) => `${chosen[before]}${serverId}`));
  expect(Object.keys(pairs)).toHaveLength(9);
  for (const share of Object.values(pairs)) expect(Math.abs(share - 10_000)).toBeLessThan(500);
});

test("only candidates are chosen, whatever their number", () => {
  const selector = create(seeded(3));
  expect(count(take(selector, 5, [b]))).toEqual({ b: 5 });
  expect(Object.keys(count(take(selector, 100, [a, c]))).toSorted()).toEqual(["a", "c"]);
});

test("the ends of the range of random numbers are the first and the last candidate", () => {
  expect(
    take(
      create(() => 0),
      1,
      [a, b, c],
    ),
  ).toEqual(["a"]);
  expect(
    take(
      create(() => 1 - Number.EPSILON),
      1,
      [a, b, c],
    ),
  ).toEqual(["c"]);
});

test("a source of random numbers that leaves its range still gives a candidate", () => {
  expect(
    take(
      create(() => 1),
      1,
      [a, b, c],
    ),
  ).toEqual(["a"]);
});

test("it is named in a configuration, has no options, and may be listed as a plugin", () => {
  expect(plugin).toBe(random);
  const check = validator({ ...random.options, additionalProperties: false });
  expect(check({}, "strategy")).toEqual([]);
  expect(check({ seed: 1 }, "strategy")).toMatchObject([{ path: "strategy.seed" }]);
  const uses: Use<[], "selector">[] = [
    "random",
    { type: "random" },
    // @ts-expect-error there is no such option
    { type: "random", seed: 1 },
  ];
  expect(uses).toHaveLength(3);
});

function create(source: () => number): Selector {
  const services = new Scope();
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const clock = createManualClock();
  return random.create({ pool: "files", primary: true, clock, random: source, log, services, baseDirectory: "." }, {});
}

function take(selector: Selector, times: number, candidates: [ServerView, ...ServerView[]]): string[] {
  return Array.from({ length: times }, () => selector.select(candidates, read).serverId);
}

function count(values: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

function server(serverId: string): ServerView {
  return {
    serverId,
    priority: 1,
    group: undefined,
    health: "healthy",
    enabled: true,
    inFlight: 0,
    maxConnections: 10,
    weight: 1,
  };
}

/** The same numbers in every run. */
function seeded(state: number): () => number {
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}
