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
import plugin, { roundRobin } from "./index.ts";

const read: RequestTraits = { operation: "GET", repeat: "safe", replayable: true };
const [a, b, c, d, e] = [server("a"), server("b"), server("c"), server("d"), server("e")];

test("three equal servers get a hundred of three hundred requests each", () => {
  const selector = create();
  expect(take(selector, 6, [a, b, c])).toEqual(["a", "b", "c", "a", "b", "c"]);
  expect(count(take(selector, 300, [a, b, c]))).toEqual({ a: 100, b: 100, c: 100 });
});

test("while a server is missing the others share its turns equally, and its return is no burst", () => {
  const selector = create();
  take(selector, 6, [a, b, c]);
  expect(count(take(selector, 300, [a, c]))).toEqual({ a: 150, c: 150 });
  expect(take(selector, 7, [a, b, c])).toEqual(["b", "a", "c", "b", "a", "c", "b"]);
});

test("a server that joins gets its turn next and has nothing to catch up", () => {
  const selector = create();
  take(selector, 1_000, [a, b]);
  expect(take(selector, 7, [a, b, c])).toEqual(["c", "a", "b", "c", "a", "b", "c"]);
});

test("a server that is busy at every other request favours neither of the others", () => {
  const selector = create();
  const chosen: string[] = [];
  for (let turn = 0; turn < 150; turn++) chosen.push(...take(selector, 1, [a, b, c]), ...take(selector, 1, [a, c]));
  const { a: before = 0, b: busy = 0, c: after = 0 } = count(chosen);
  expect(Math.abs(before - after)).toBeLessThanOrEqual(1);
  // A candidate for half of the requests, it gets half of what it could.
  expect(busy).toBe(75);
});

test("whoever stays a candidate for as many requests as there are servers gets one of them", () => {
  const selector = create();
  const random = seeded(7);
  const servers = [a, b, c, d, e];
  const waits = new Map(servers.map((candidate) => [candidate, 0]));
  for (let turn = 0; turn < 5_000; turn++) {
    const [first = a, ...rest] = servers.filter(() => random() < 0.6);
    const chosen = selector.select([first, ...rest], read);
    for (const [waiting, before] of waits) {
      const passedOver = waiting !== chosen && (waiting === first || rest.includes(waiting));
      waits.set(waiting, passedOver ? before + 1 : 0);
    }
    expect(Math.max(...waits.values())).toBeLessThan(servers.length);
  }
});

test("a server that left and joins again is new", () => {
  const selector = create();
  take(selector, 3, [a, b, c]);
  selector.forget?.("c");
  expect(take(selector, 2, [a, b, c])).toEqual(["c", "a"]);
});

test("it is named in a configuration, has no options, and may be listed as a plugin", () => {
  expect(plugin).toBe(roundRobin);
  const check = validator({ ...roundRobin.options, additionalProperties: false });
  expect(check({}, "strategy")).toEqual([]);
  expect(check({ weight: 1 }, "strategy")).toMatchObject([{ path: "strategy.weight" }]);
  const uses: Use<[], "selector">[] = [
    "round-robin",
    { type: "round-robin" },
    // @ts-expect-error there is no such option
    { type: "round-robin", weight: 1 },
  ];
  expect(uses).toHaveLength(3);
});

function create(): Selector {
  const services = new Scope();
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const clock = createManualClock();
  return roundRobin.create(
    { pool: "files", primary: true, clock, random: seeded(1), log, services, baseDirectory: "." },
    {},
  );
}

function take(selector: Selector, times: number, candidates: [ServerView, ...ServerView[]]): string[] {
  return Array.from({ length: times }, () => selector.select(candidates, read).serverId);
}

function count(serverIds: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const serverId of serverIds) counts[serverId] = (counts[serverId] ?? 0) + 1;
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
