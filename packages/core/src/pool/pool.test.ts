import { describe, expect, test } from "vitest";
import type { Aggregator } from "../contracts/aggregator.ts";
import type { Selector } from "../contracts/selector.ts";
import { defaultFailoverPolicy } from "../failover/default-policy.ts";
import {
  GET,
  POST,
  PUT,
  ScriptedStore,
  buildPool,
  flush,
  openBench,
  standing,
} from "../testing/pool-bench.test-support.ts";
import {
  answer,
  breakOff,
  hang,
  refuse,
  ScriptedTransport,
  stream,
  type FlowingBody,
  type ScriptedResponse,
} from "../testing/scripted-transport.test-support.ts";

async function code(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error: { code: string }) => error.code,
  );
}

describe("limits", () => {
  test("no server gets more attempts at once than its maxConnections", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", maxConnections: 2 }] });
    const bodies: FlowingBody[] = [];
    bench.server("a").behaviour = stream(bodies);
    const calls = [1, 2, 3, 4, 5].map(() => bench.pool.execute(GET));
    await flush();
    expect(bodies).toHaveLength(2);
    bodies[0]?.end();
    await flush();
    expect(bodies).toHaveLength(3);
    expect(bench.slots()).toBe(2);
    for (let next = 0; next < 5; next++) {
      bodies[next]?.end();
      await flush();
    }
    await Promise.all(calls);
    expect(bench.slots()).toBe(0);
  });

  test("whoever waits longest is served first", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", maxConnections: 1 }] });
    const bodies: FlowingBody[] = [];
    bench.server("a").behaviour = stream(bodies);
    const order: number[] = [];
    const calls = [0, 1, 2, 3].map((index) => bench.pool.execute(GET).then(() => order.push(index)));
    for (let next = 0; next < 4; next++) {
      await flush();
      bodies[next]?.end();
    }
    await Promise.all(calls);
    expect(order).toEqual([0, 1, 2, 3]);
  });

  test("the queue has an end", async () => {
    const bench = await openBench({
      servers: [{ serverId: "a", maxConnections: 1 }],
      limits: { queue: { size: 1, timeout: 1_000 } },
    });
    bench.server("a").behaviour = hang;
    const busy = code(bench.pool.execute(GET));
    const waiting = code(bench.pool.execute(GET));
    await flush();
    const refused = bench.pool.execute(GET);
    await expect(refused).rejects.toThrow(
      'Pool "files" is at its limits: 1 calls wait for a slot already. Try again later, raise maxConnections, or lengthen limits.queue.',
    );
    expect(bench.pool.stats().requestStats).toMatchObject({ total: 1, failed: 1 });
    await bench.advance(1_020);
    expect(await waiting).toBe("POOL_EXHAUSTED");
    await bench.advance(10_000);
    expect(await busy).toBe("DEADLINE_EXCEEDED");
  });

  test("waiting for a slot ends with the call's deadline", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", maxConnections: 1 }] });
    bench.server("a").behaviour = hang;
    const busy = code(bench.pool.execute(GET));
    const waiting = code(bench.pool.execute(GET, { deadline: 300 }));
    await bench.advance(300);
    expect(await waiting).toBe("DEADLINE_EXCEEDED");
    await bench.advance(10_000);
    await busy;
  });

  test("without a queue a call fails at once", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", maxConnections: 1 }], limits: { queue: false } });
    bench.server("a").behaviour = hang;
    const busy = code(bench.pool.execute(GET));
    await flush();
    expect(await code(bench.pool.execute(GET))).toBe("POOL_EXHAUSTED");
    await bench.advance(10_000);
    await busy;
  });

  test("a busy server does not hold up those who can go elsewhere", async () => {
    const bench = await openBench({
      servers: [
        { serverId: "a", maxConnections: 1 },
        { serverId: "b", maxConnections: 1 },
      ],
    });
    const bodies: FlowingBody[] = [];
    bench.server("a").behaviour = hang;
    bench.server("b").behaviour = stream(bodies);
    const busy = code(bench.pool.execute(GET, { serverId: "a" }));
    const onB = bench.pool.execute(GET, { serverId: "b" });
    await flush();
    const pinned = code(bench.pool.execute(GET, { serverId: "a" }));
    const free = bench.pool.execute(GET);
    await flush();
    bodies[0]?.end();
    await onB;
    expect((await free).serverId).toBe("b");
    expect(await standing(pinned)).toBe("pending");
    bodies[1]?.end();
    await bench.advance(20_000);
    await Promise.all([busy, pinned]);
  });

  test.each([
    ["is removed", async (bench: Awaited<ReturnType<typeof openBench>>) => void (await bench.pool.remove("x"))],
    [
      "is disabled",
      async (bench: Awaited<ReturnType<typeof openBench>>) => void (await bench.pool.update("x", { enabled: false })),
    ],
  ])("a call whose last candidate %s while it waits fails then", async (_what, change) => {
    const bench = await openBench({ servers: [] });
    await bench.pool.add({ serverId: "x", maxConnections: 1 });
    bench.server("x").behaviour = hang;
    const busy = code(bench.pool.execute(GET));
    const waiting = code(bench.pool.execute(GET));
    await flush();
    await change(bench);
    expect(await waiting).toBe("NO_SERVER_AVAILABLE");
    await bench.advance(10_000);
    expect(await busy).toBe("DEADLINE_EXCEEDED");
  });

  test("all who can be served are served when a server joins", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", maxConnections: 1 }] });
    bench.server("a").behaviour = hang;
    const busy = code(bench.pool.execute(GET));
    const waiting = [1, 2, 3].map(() => bench.pool.execute(GET));
    await flush();
    await bench.pool.add({ serverId: "x", maxConnections: 5 });
    expect((await Promise.all(waiting)).map((value) => value.serverId)).toEqual(["x", "x", "x"]);
    await bench.advance(10_000);
    await busy;
  });
});

describe("closing", () => {
  test("waits for calls in flight, then closes every connection", async () => {
    const bench = await openBench({ servers: ["a"] });
    let respond = (): void => undefined;
    bench.server("a").behaviour = async (attempt, request) => {
      await new Promise<void>((resolve) => (respond = resolve));
      return answer()(attempt, request);
    };
    const call = bench.pool.execute(GET);
    await flush();
    const closing = bench.pool.close();
    expect(await standing(closing)).toBe("pending");
    expect(await code(bench.pool.execute(GET))).toBe("POOL_CLOSED");
    expect(await code(bench.pool.broadcast(GET, { consume: () => Promise.resolve(1) }))).toBe("POOL_CLOSED");
    respond();
    expect((await call).value.status).toBe(200);
    await closing;
    expect(bench.server("a").closed).toBe(1);
    await bench.advance(20);
    expect(bench.clock.pending).toBe(0);
  });

  test("waits for a body that still flows", async () => {
    const bench = await openBench({ servers: ["a"] });
    const bodies: FlowingBody[] = [];
    bench.server("a").behaviour = stream(bodies);
    await bench.pool.execute(GET);
    const closing = bench.pool.close();
    expect(await standing(closing)).toBe("pending");
    bodies[0]?.end();
    await closing;
  });

  test("ends what has not ended in time, wherever it stands", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", maxConnections: 1 }, "b", "c"] });
    const bodies: FlowingBody[] = [];
    bench.server("a").behaviour = hang;
    bench.server("b").behaviour = refuse;
    bench.server("c").behaviour = stream(bodies);
    await bench.pool.execute(GET, { serverId: "c" });
    const calls = [
      code(bench.pool.execute(GET, { serverId: "a" })),
      code(bench.pool.execute(GET, { serverId: "a" })),
      code(bench.pool.execute(GET, { serverId: "b" })),
    ];
    await flush();
    const unsafe = code(bench.pool.execute(POST, { serverId: "c" }));
    bench.server("c").behaviour = hang;
    const sentUnsafe = code(bench.pool.execute(POST, { serverId: "c" }));
    await flush();
    const closing = bench.pool.close({ drain: 100 });
    await bench.advance(110);
    await closing;
    expect(await Promise.all(calls)).toEqual(["POOL_CLOSED", "POOL_CLOSED", "POOL_CLOSED"]);
    expect(await unsafe).toBe("none");
    expect(await sentUnsafe).toBe("OUTCOME_UNKNOWN");
    expect(bodies[0]?.attempt.signal.aborted).toBe(true);
    expect(bench.slots()).toBe(0);
    await bench.advance(20);
    expect(bench.clock.pending).toBe(0);
  });

  test("twice is closing once", async () => {
    const bench = await openBench({ servers: ["a"] });
    await bench.pool.execute(GET);
    const closing = bench.pool.close();
    await Promise.all([closing, bench.pool.close(), bench.pool[Symbol.asyncDispose]()]);
    expect(bench.server("a").closed).toBe(1);
  });

  test("waits for servers that have left and still serve", async () => {
    const bench = await openBench({ servers: ["a"] });
    await bench.pool.add({ serverId: "x" });
    const bodies: FlowingBody[] = [];
    bench.server("x").behaviour = stream(bodies);
    await bench.pool.execute(GET, { serverId: "x" });
    await bench.pool.remove("x");
    const closing = bench.pool.close();
    expect(await standing(closing)).toBe("pending");
    bodies[0]?.end();
    await closing;
    expect(bench.server("x").closed).toBe(1);
  });
});

describe("closing connections that hang", () => {
  test("ends after five seconds, and says so", async () => {
    const transport = new ScriptedTransport();
    const connect = transport.connect.bind(transport);
    transport.connect = async (profile, init) => ({
      ...(await connect(profile, init)),
      [Symbol.asyncDispose]: () => new Promise<void>(() => undefined),
    });
    const bench = await openBench({ transport });
    await bench.pool.execute(GET);
    const closing = bench.pool.close();
    await bench.advance(4_900, 100);
    expect(await standing(closing)).toBe("pending");
    await bench.advance(200, 100);
    expect(await standing(closing)).toBe("fulfilled");
    expect(bench.lines.at(-1)?.message).toBe('Pool "files" leaves connections behind: not closed after 5000 ms.');
  });
});

describe("a server that has just recovered", () => {
  const turns = (): Selector => {
    let turn = 0;
    return { select: (candidates) => candidates[turn++ % candidates.length] ?? candidates[0] };
  };
  const idlest: Selector = {
    select: (candidates) => candidates.reduce((one, other) => (other.inFlight < one.inFlight ? other : one)),
  };
  const smooth = (): Selector => {
    const credits = new Map<string, number>();
    return {
      select(candidates) {
        let [best, total] = [candidates[0], 0];
        for (const candidate of candidates) {
          const { serverId, weight } = candidate;
          credits.set(serverId, (credits.get(serverId) ?? 0) + weight);
          total += weight;
          if ((credits.get(serverId) ?? 0) > (credits.get(best.serverId) ?? 0)) best = candidate;
        }
        credits.set(best.serverId, (credits.get(best.serverId) ?? 0) - total);
        return best;
      },
    };
  };

  test.for([
    ["takes turns", turns],
    ["looks for the idlest server", () => idlest],
    ["counts credits", smooth],
  ] as const)("begins with a tenth of an even share when the strategy %s", async ([, selector]) => {
    // Spread evenly, so that the share comes out exactly.
    let draws = 0;
    const bench = await openBench({
      servers: ["a", "b", "c"],
      selector: selector(),
      random: () => (draws++ * 0.381_966) % 1,
      health: { enabled: true, slowStart: 3_600_000, successes: 1 },
    });
    await bench.advance(10);
    bench.server("a").probe = () => Promise.reject(new Error("down"));
    await bench.pool.update("a", { enabled: true });
    await bench.advance(70_000, 500);
    expect(bench.pool.list()[0]?.health.status).toBe("unhealthy");
    bench.server("a").probe = () => Promise.resolve();
    await bench.advance(3_000, 100);
    expect(bench.pool.list()[0]?.health.status).toBe("healthy");
    for (const id of ["a", "b", "c"]) bench.server(id).asked = 0;
    for (let count = 0; count < 2_100; count++) await bench.pool.execute(GET);
    // 0.1 / (0.1 + 1 + 1) of all.
    expect(bench.server("a").asked).toBeGreaterThanOrEqual(90);
    expect(bench.server("a").asked).toBeLessThanOrEqual(115);
  });
});

describe("candidates", () => {
  const spread = () => {
    let turn = 0;
    return {
      select: <T>(candidates: readonly [T, ...T[]]): T => candidates[turn++ % candidates.length] ?? candidates[0],
    };
  };
  const who = async (bench: Awaited<ReturnType<typeof openBench>>, times = 4) => {
    const ids = [];
    for (let count = 0; count < times; count++) ids.push((await bench.pool.execute(GET)).serverId);
    return ids.join("");
  };
  const tiers = [{ serverId: "a", priority: 2 }, { serverId: "b" }, { serverId: "c" }];

  test("are the servers of the best tier", async () => {
    const bench = await openBench({ servers: tiers, selector: spread() });
    expect(await who(bench)).toBe("bcbc");
    expect(bench.pool.preferredServerId).toBe("b");
  });

  test("are all servers where tiers are off", async () => {
    const bench = await openBench({ servers: tiers, tiers: false, selector: spread() });
    expect(await who(bench, 3)).toBe("abc");
  });

  test("are those of the next tier when the best one is down", async () => {
    const bench = await openBench({ servers: tiers, selector: spread() });
    bench.server("b").behaviour = refuse;
    bench.server("c").behaviour = refuse;
    for (let count = 0; count < 6; count++) await bench.pool.execute(GET);
    expect(bench.pool.list().map((server) => server.health.status)).toEqual(["healthy", "unhealthy", "unhealthy"]);
    expect(bench.pool.preferredServerId).toBe("a");
    const asked = bench.server("b").asked;
    expect(await who(bench)).toBe("aaaa");
    expect(bench.server("b").asked).toBe(asked);
  });

  test("are the active server alone while it is usable, and others when it fails", async () => {
    const bench = await openBench({ servers: tiers, selector: spread() });
    expect(await bench.pool.activate("a")).toEqual({ previousServerId: "b", activeServerId: "a" });
    expect(await who(bench)).toBe("aaaa");
    bench.server("a").behaviour = refuse;
    expect((await bench.pool.execute(GET)).serverId).toMatch(/[bc]/);
    for (let count = 0; count < 3; count++) await bench.pool.execute(GET);
    expect(bench.pool.preferredServerId).toBe("b");
    expect(await bench.pool.activate(null)).toEqual({ previousServerId: "b", activeServerId: "b" });
    expect(bench.names().filter((name) => name === "active-changed")).toHaveLength(2);
  });

  test("are the least bad server when none is usable, and the next one when that fails more", async () => {
    const bench = await openBench({
      servers: ["a", "b"],
      health: { failures: 1, enabled: true, recoveryInterval: 60_000 },
    });
    bench.server("a").probe = () => Promise.reject(new Error("down"));
    bench.server("b").probe = () => Promise.reject(new Error("down"));
    await bench.advance(10);
    expect(bench.pool.stats()).toMatchObject({ healthyServers: 0, unhealthyServers: 2 });
    bench.server("a").behaviour = breakOff;
    expect(await code(bench.pool.execute(POST))).toBe("OUTCOME_UNKNOWN");
    bench.server("b").behaviour = answer();
    expect((await bench.pool.execute(POST)).serverId).toBe("b");
  });

  test("are the first server of the best tier for writes, where writes go to the primary", async () => {
    const bench = await openBench({ servers: tiers, writes: "primary", selector: spread() });
    expect(await who(bench)).toBe("bcbc");
    for (let count = 0; count < 3; count++) expect((await bench.pool.execute(PUT)).serverId).toBe("b");
    bench.server("b").behaviour = refuse;
    expect((await bench.pool.execute(PUT)).serverId).toBe("c");
  });

  test("change with every change of a server", async () => {
    const bench = await openBench({ servers: ["a", "b"], selector: spread() });
    expect(await who(bench)).toBe("abab");
    await bench.pool.update("a", { enabled: false });
    expect(await who(bench)).toBe("bbbb");
    await bench.pool.update("a", { enabled: true });
    expect(await who(bench, 2)).toMatch(/ab|ba/);
    await bench.pool.add({ serverId: "c" });
    expect((await who(bench, 3)).split("").toSorted().join("")).toBe("abc");
    await bench.pool.remove("c");
    expect(await who(bench, 4)).not.toContain("c");
    await bench.pool.update("b", { enabled: false });
    await bench.pool.update("a", { enabled: false });
    expect(await code(bench.pool.execute(GET))).toBe("NO_SERVER_AVAILABLE");
    expect(bench.pool.preferredServerId).toBeUndefined();
  });
});

describe("a broadcast", () => {
  const consume = (response: ScriptedResponse) => Promise.resolve(response.status);
  const grouped = [
    { serverId: "a", group: "eu" },
    { serverId: "b", group: "us" },
    { serverId: "c", group: "eu" },
    { serverId: "d", group: "eu", enabled: false },
  ];

  test("asks every enabled server of a group and gives the answers in the order of the servers", async () => {
    const bench = await openBench({ servers: grouped });
    bench.server("a").behaviour = async (attempt, request) => {
      await new Promise<void>((resolve) => void bench.clock.after(50, resolve));
      return answer()(attempt, request);
    };
    const work = bench.pool.broadcast(PUT, { serverGroup: "eu", consume });
    await bench.advance(60);
    expect(await work).toEqual({
      from: ["c", "a"],
      dissenters: [],
      results: [
        { serverId: "a", ok: true, value: 200 },
        { serverId: "c", ok: true, value: 200 },
      ],
    });
    expect(bench.sent()).toBe("a:1 b:0 c:1 d:0");
    expect(bench.pool.stats().requestStats).toMatchObject({ total: 1, successful: 1, failoverCount: 0 });
  });

  test("without a group asks every enabled server", async () => {
    const bench = await openBench({ servers: grouped });
    expect((await bench.pool.broadcast(GET, { consume })).results).toHaveLength(3);
  });

  test("reports each failure with its own code and kind, and counts as one failed call", async () => {
    const bench = await openBench({ servers: ["a", "b", "c", { serverId: "d", enabled: false }], deadline: 500 });
    bench.server("a").behaviour = refuse;
    bench.server("b").behaviour = breakOff;
    const work = bench.pool.broadcast(POST, { serverIds: ["a", "b", "c", "d"], consume });
    await bench.advance(500);
    expect((await work).results).toMatchObject([
      { serverId: "a", ok: false, failure: { kind: "unsent", blame: "server", code: "NO_SERVER_AVAILABLE" } },
      { serverId: "b", ok: false, failure: { kind: "broken", blame: "server", code: "OUTCOME_UNKNOWN" } },
      { serverId: "c", ok: true },
      { serverId: "d", ok: false, failure: { kind: "invalid", blame: "request", code: "SERVER_DISABLED" } },
    ]);
    expect(bench.pool.stats().requestStats).toMatchObject({ total: 1, failed: 1 });
  });

  test("asks a bounded number at a time, and all of them within the deadline", async () => {
    const servers = ["a", "b", "c", "d", "e"];
    const bench = await openBench({ servers, limits: { broadcastConcurrency: 2 }, deadline: 1_000 });
    let most = 0;
    for (const serverId of servers) bench.server(serverId).behaviour = hang;
    const work = bench.pool.broadcast(GET, { consume });
    for (let step = 0; step < 100; step++) {
      await bench.advance(10);
      most = Math.max(most, bench.slots());
    }
    const { results } = await work;
    expect(most).toBe(2);
    expect(results.map((result) => result.ok || result.failure.code)).toEqual(servers.map(() => "DEADLINE_EXCEEDED"));
  });

  test("cancels the rest when the aggregator has what it wants, which has not failed", async () => {
    const first: Aggregator = {
      async aggregate(arrivals) {
        for await (const result of arrivals)
          if (result.ok) return { value: result.value, from: [result.serverId], dissenters: [], results: [result] };
        return { from: [], dissenters: [], results: [] };
      },
    };
    const bench = await openBench({ limits: { broadcastConcurrency: 2 } });
    bench.server("a").behaviour = hang;
    const { value, from } = await bench.pool.broadcast(GET, { consume, aggregator: first });
    expect({ value, from }).toEqual({ value: 200, from: ["b"] });
    expect(bench.server("a").attempts[0]?.signal.aborted).toBe(true);
    expect(bench.pool.stats().requestStats).toMatchObject({ total: 1, successful: 1 });
    expect(bench.slots()).toBe(0);
  });

  test.each([PUT, POST])("of $operation, which changes something, is cut off nowhere", async (request) => {
    const bench = await openBench({ limits: { broadcastConcurrency: 2 } });
    const late = Promise.withResolvers<void>();
    bench.server("a").behaviour = async (attempt) => {
      attempt.sent();
      await late.promise;
      return { status: 200, serverId: "a", discarded: 0 };
    };
    const work = bench.pool.broadcast(request, { consume, aggregator: "fastest" });
    expect(await standing(work)).toBe("pending");
    late.resolve();
    const { value, from, results } = await work;
    expect({ value, from }).toEqual({ value: 200, from: ["b"] });
    expect(results.map(({ serverId, ok }) => [serverId, ok])).toEqual([
      ["a", true],
      ["b", true],
      ["c", true],
    ]);
    expect(bench.server("a").attempts[0]?.signal.aborted).toBe(false);
  });

  test("asks a server that is named twice once, and counts it once", async () => {
    const bench = await openBench();
    const { results, quorum } = await bench.pool.broadcast(GET, { consume, serverIds: ["a", "a", "b"], quorum: 2 });
    expect(results.map(({ serverId }) => serverId)).toEqual(["a", "b"]);
    expect(quorum).toEqual({ required: 2, succeeded: 2, met: true });
    expect(bench.sent()).toBe("a:1 b:1 c:0");
    bench.server("b").behaviour = refuse;
    const work = bench.pool.broadcast(GET, { consume, serverIds: ["a", "a", "b"], quorum: 2, deadline: 50 });
    await bench.advance(1_000);
    expect((await work).quorum).toEqual({ required: 2, succeeded: 1, met: false });
  });

  test("that its caller cancels has failed", async () => {
    const bench = await openBench({ servers: ["a"] });
    bench.server("a").behaviour = hang;
    const caller = new AbortController();
    const work = bench.pool.broadcast(GET, { consume, signal: caller.signal });
    await flush();
    caller.abort();
    expect((await work).results).toMatchObject([{ ok: false, failure: { kind: "cancelled", code: "CANCELLED" } }]);
    expect(bench.pool.stats().requestStats).toMatchObject({ failed: 1 });
  });

  test("gives the aggregator the number of servers and what makes answers equal", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    const seen: unknown[] = [];
    const aggregator: Aggregator = {
      aggregate: (_arrivals, { servers, key }) => {
        seen.push(servers, key({ x: 1 } as never));
        return Promise.resolve({ from: [], dissenters: [], results: [] });
      },
    };
    await bench.pool.broadcast(GET, { consume, aggregator });
    await bench.pool.broadcast(GET, { consume, aggregator, key: () => "same" });
    expect(seen).toEqual([2, '{"x":1}', 2, "same"]);
  });

  test("fails as its aggregator fails, and leaves nothing running", async () => {
    const bench = await openBench({ servers: ["a"] });
    bench.server("a").behaviour = hang;
    const aggregator: Aggregator = { aggregate: () => Promise.reject(new Error("no majority")) };
    await expect(bench.pool.broadcast(GET, { consume, aggregator })).rejects.toThrow("no majority");
    expect(bench.slots()).toBe(0);
  });

  test("to nobody, to unknown servers or with a body that flows once is refused", async () => {
    const bench = await openBench({ servers: grouped });
    await expect(bench.pool.broadcast(GET, { serverGroup: "asia", consume })).rejects.toThrow(
      'There is no enabled server in group "asia". Groups with enabled servers: eu, us.',
    );
    expect(await code(bench.pool.broadcast(GET, { serverIds: ["a", "x"], consume }))).toBe("UNKNOWN_SERVER");
    const oneShot = { ...PUT, replayable: false };
    expect(await code(bench.pool.broadcast(oneShot, { serverGroup: "eu", consume }))).toBe("BODY_NOT_REPLAYABLE");
    expect((await bench.pool.broadcast(oneShot, { serverGroup: "us", consume })).from).toEqual(["b"]);
    expect(await code((await openBench({ servers: [] })).pool.broadcast(GET, { consume }))).toBe("UNKNOWN_GROUP");
  });
});

describe("statistics", () => {
  test("are of calls, connections and servers", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    expect(bench.pool.stats().averageResponseTime).toBe(0);
    bench.server("a").behaviour = (attempt, request) => {
      bench.clock.advance(4);
      return answer()(attempt, request);
    };
    await bench.pool.execute(GET);
    expect(bench.pool.stats()).toEqual({
      totalServers: 2,
      healthyServers: 2,
      unhealthyServers: 0,
      totalConnections: { active: 1, idle: 2, max: 20 },
      requestStats: { total: 1, successful: 1, failed: 0, failoverCount: 0 },
      averageResponseTime: 4,
    });
  });

  test("go on where the last run ended, and only what is new is saved", async () => {
    const store = new ScriptedStore();
    const before = { total: 10, successful: 8, failed: 2, failoverCount: 1, responseTimeSum: 80 };
    store.health = { servers: {}, counters: before };
    const bench = await openBench({ servers: ["a"], store });
    await bench.pool.execute(GET);
    expect(bench.pool.stats().requestStats).toEqual({ total: 11, successful: 9, failed: 2, failoverCount: 1 });
    // Another process saved meanwhile.
    store.health = { servers: {}, counters: { ...before, total: 100 } };
    await bench.advance(30_000, 1_000);
    expect(store.health.counters.total).toBe(101);
    await bench.advance(30_000, 1_000);
    expect(store.healthSaves).toBe(1);
    await bench.pool.execute(GET);
    await bench.pool.close();
    expect(store.health.counters.total).toBe(102);
    expect(store.health.servers.a).toMatchObject({ status: "healthy", uptime: 100 });
  });

  test("that cannot be saved are reported once, and saved when it works again", async () => {
    const bench = await openBench({ servers: ["a"] });
    bench.store.healthProblem = new Error("disk full");
    await bench.pool.execute(GET);
    await bench.advance(90_000, 1_000);
    const complaints = () => bench.lines.filter((line) => line.message.includes("disk full")).length;
    expect(complaints()).toBe(1);
    bench.store.healthProblem = undefined;
    await bench.advance(30_000, 1_000);
    expect(bench.store.health.counters.total).toBe(1);
    bench.store.healthProblem = new Error("disk full");
    await bench.pool.execute(GET);
    await bench.advance(30_000, 1_000);
    expect(complaints()).toBe(2);
  });

  test("that cannot be read do not keep the pool from starting", async () => {
    const store = new ScriptedStore();
    store.healthProblem = new Error("corrupt");
    const { pool, lines } = buildPool({ store });
    await pool.start();
    expect(pool.list()).toHaveLength(3);
    expect(lines).toContainEqual({ level: "warn", message: "Earlier health and counters cannot be read: corrupt" });
  });
});

describe("aggregators", () => {
  const value = { consume: (response: ScriptedResponse) => Promise.resolve(response.status) };

  test("first takes the first success, and passes over answers that report a failure", async () => {
    const bench = await openBench();
    bench.server("a").behaviour = answer(503);
    const { value: status, from } = await bench.pool.broadcast(POST, { ...value, aggregator: "first" });
    expect([status, from]).toEqual([200, ["b"]]);
  });

  test("fastest takes the first answer, whatever it says", async () => {
    const bench = await openBench();
    bench.server("a").behaviour = answer(503);
    const { value: status, from } = await bench.pool.broadcast(POST, { ...value, aggregator: "fastest" });
    expect([status, from]).toEqual([503, ["a"]]);
  });

  test.each(["first", "fastest"])("%s has no answer when nobody gives one", async (aggregator) => {
    const bench = await openBench();
    for (const serverId of ["a", "b", "c"]) bench.server(serverId).behaviour = refuse;
    const result = bench.pool.broadcast(POST, { ...value, aggregator, deadline: 50 });
    await bench.advance(1_000);
    expect(await result).toMatchObject({ from: [], results: [{ ok: false }, { ok: false }, { ok: false }] });
  });

  test("majority takes what more than half agree on, and names the dissenters", async () => {
    const bench = await openBench();
    bench.server("b").behaviour = answer(404);
    const result = await bench.pool.broadcast(GET, { ...value, aggregator: "majority" });
    expect(result).toMatchObject({ value: 200, from: ["a", "c"], dissenters: ["b"] });
  });

  test("majority has no answer when none has more than half, and silence is no agreement", async () => {
    const bench = await openBench();
    bench.server("b").behaviour = answer(404);
    bench.server("c").behaviour = refuse;
    const result = bench.pool.broadcast(GET, { ...value, aggregator: "majority", deadline: 50 });
    await bench.advance(1_000);
    expect(await result).toMatchObject({ from: [], dissenters: ["a", "b"] });
    expect(await result).not.toHaveProperty("value");
  });

  test("that nobody knows are refused with the names there are", async () => {
    const bench = await openBench();
    await expect(bench.pool.broadcast(GET, { ...value, aggregator: "mean" })).rejects.toMatchObject({
      code: "UNKNOWN_AGGREGATOR",
      details: { names: ["all", "first", "fastest", "majority"] },
    });
  });

  test.each([
    [2, true],
    [3, false],
  ])("a quorum of %i of three, two of which succeed, is met: %s", async (quorum, met) => {
    const bench = await openBench();
    bench.server("b").behaviour = answer(404);
    const created = (status: number) => status === 200;
    const result = await bench.pool.broadcast(POST, { ...value, quorum, succeeded: created });
    expect(result.quorum).toEqual({ required: quorum, succeeded: 2, met });
    expect(bench.pool.stats().requestStats).toMatchObject(met ? { successful: 1 } : { failed: 1 });
  });

  test("a quorum of more servers than there are is refused before anything is sent", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", group: "eu" }, { serverId: "b", group: "eu" }, "c"] });
    await expect(bench.pool.broadcast(PUT, { ...value, serverGroup: "eu", quorum: 5 })).rejects.toMatchObject({
      code: "QUORUM_UNREACHABLE",
      message:
        'PUT was not sent: 5 servers would have to succeed, and group "eu" has 2 servers. Ask for a quorum of at most 2, or for more servers.',
      details: { quorum: 5, servers: 2, group: "eu" },
    });
    await expect(bench.pool.broadcast(PUT, { ...value, serverIds: ["c", "c"], quorum: 2 })).rejects.toThrow(
      "2 servers would have to succeed, and it goes to 1 server.",
    );
    expect(bench.sent()).toBe("a:0 b:0 c:0");
    expect(bench.pool.stats().requestStats.total).toBe(0);
  });
});

test("a call that moves on takes the policy's fallback order before priorities", async () => {
  const failover = defaultFailoverPolicy({
    enabled: true,
    backoff: 1,
    longestBackoff: 1,
    fallbackOrder: ["gone", "a", "c", "b"],
  });
  const servers = ["a", { serverId: "b", priority: 2 }, { serverId: "c", priority: 3 }];
  const bench = await openBench({ servers, failover });
  bench.server("a").behaviour = refuse;
  expect((await bench.pool.execute(GET)).attempts.map(({ serverId }) => serverId)).toEqual(["a", "c"]);
});
