import {
  Scope,
  createManualClock,
  validator,
  type ManualClock,
  type RequestTraits,
  type Selector,
  type ServerView,
  type Use,
} from "@davpool/core";
import { expect, test } from "vitest";
import plugin, { leastConnections } from "./index.ts";

const read: RequestTraits = { operation: "GET", repeat: "safe", replayable: true };

test("the server with the fewest attempts in flight is chosen", () => {
  const selector = create();
  expect(selector.select([server("a", 3), server("b", 1), server("c", 2)], read).serverId).toBe("b");
  expect(selector.select([server("a", 0), server("b", 1), server("c", 1)], read).serverId).toBe("a");
});

test("the number counts, not the share of a server's limit", () => {
  const [small, large] = [
    { ...server("small", 2), maxConnections: 3 },
    { ...server("large", 3), maxConnections: 100 },
  ];
  expect(create().select([large, small], read).serverId).toBe("small");
});

test("with one request at a time no server is idle: each gets a hundred of three hundred", () => {
  const selector = create();
  const [a, b, c] = [server("a"), server("b"), server("c")];
  expect(count(take(selector, 300, [a, b, c]))).toEqual({ a: 100, b: 100, c: 100 });
});

test("a tie goes to whoever had its last turn longest ago, and a server that was busy gets no burst", () => {
  const selector = create();
  const [a, b, c] = [server("a"), server("b"), server("c")];
  b.inFlight = 5;
  expect(take(selector, 4, [a, b, c])).toEqual(["a", "c", "a", "c"]);
  b.inFlight = 0;
  expect(take(selector, 4, [a, b, c])).toEqual(["b", "a", "c", "b"]);
});

test("with many requests at a time equal servers share them equally", () => {
  const clock = createManualClock();
  const servers = [server("a"), server("b"), server("c")] as const;
  const counts = load(create(), clock, servers, { callers: 16, requests: 300, latency: () => 5 });
  for (const share of Object.values(counts)) expect(Math.abs(share - 100)).toBeLessThanOrEqual(5);
});

test("a server that takes ten times as long gets a tenth of what the others get", () => {
  const clock = createManualClock();
  const servers = [server("a"), server("slow"), server("c")] as const;
  const latency = ({ serverId }: ServerView) => (serverId === "slow" ? 50 : 5);
  const counts = load(create(), clock, servers, { callers: 12, requests: 3_000, latency });
  expect(counts["slow"]).toBeGreaterThan(0);
  expect(counts["slow"]).toBeLessThanOrEqual(3_000 * 0.06);
});

test("a server that left and joins again is new", () => {
  const selector = create();
  const [a, b, c] = [server("a"), server("b"), server("c")];
  take(selector, 3, [a, b, c]);
  selector.forget?.("c");
  expect(take(selector, 2, [a, b, c])).toEqual(["c", "a"]);
});

test("it is named in a configuration, has no options, and may be listed as a plugin", () => {
  expect(plugin).toBe(leastConnections);
  const check = validator({ ...leastConnections.options, additionalProperties: false });
  expect(check({}, "strategy")).toEqual([]);
  expect(check({ relative: true }, "strategy")).toMatchObject([{ path: "strategy.relative" }]);
  const uses: Use<[], "selector">[] = [
    "least-connections",
    { type: "least-connections" },
    // @ts-expect-error there is no such option
    { type: "least-connections", relative: true },
  ];
  expect(uses).toHaveLength(3);
});

interface TestServer extends ServerView {
  inFlight: number;
}

/** Callers that each send their next request when they have the answer to the one before. */
function load(
  selector: Selector,
  clock: ManualClock,
  servers: readonly [TestServer, ...TestServer[]],
  { callers, requests, latency }: { callers: number; requests: number; latency: (server: ServerView) => number },
): Record<string, number> {
  const chosen: string[] = [];
  const call = () => {
    if (chosen.length === requests) return;
    const { serverId } = selector.select(servers, read);
    const taken = servers.find((candidate) => candidate.serverId === serverId) ?? servers[0];
    chosen.push(serverId);
    taken.inFlight++;
    clock.after(latency(taken), () => {
      taken.inFlight--;
      call();
    });
  };
  for (let caller = 0; caller < callers; caller++) call();
  while (clock.pending > 0) clock.advance(1);
  return count(chosen);
}

function create(): Selector {
  const services = new Scope();
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const [clock, random] = [createManualClock(), () => 0];
  return leastConnections.create(
    { pool: "files", primary: true, clock, random, log, services, baseDirectory: "." },
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

function server(serverId: string, inFlight = 0): TestServer {
  return {
    serverId,
    priority: 1,
    group: undefined,
    health: "healthy",
    enabled: true,
    inFlight,
    maxConnections: 10,
    weight: 1,
  };
}
