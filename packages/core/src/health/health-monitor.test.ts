import { describe, expect, test } from "vitest";
import type { HealthProbe } from "../contracts/health-probe.ts";
import { GET, ScriptedStore, flush, openBench, type BenchOptions } from "../testing/pool-bench.test-support.ts";
import {
  aborted,
  answer,
  breakOff,
  refuse,
  stream,
  type FlowingBody,
} from "../testing/scripted-transport.test-support.ts";

const CHECKED: BenchOptions = { health: { enabled: true }, servers: ["a", "b"] };
const down = () => Promise.reject(new Error("connection refused"));

describe("checks", () => {
  test("begin at once and come at each server's own interval", async () => {
    const bench = await openBench({ ...CHECKED, servers: ["a", { serverId: "b", healthCheckInterval: 5 }] });
    await bench.advance(10);
    expect([bench.server("a").probes, bench.server("b").probes]).toEqual([1, 1]);
    await bench.advance(60_000, 100);
    expect([bench.server("a").probes, bench.server("b").probes]).toEqual([2, 13]);
  });

  test.each([
    [0, 54_000],
    [0.5, 60_000],
    [0.999, 65_900],
  ])("vary by a tenth: with the random number %d the next one comes after about %d ms", async (number, expected) => {
    const bench = await openBench({ ...CHECKED, random: () => number });
    await bench.advance(10);
    await bench.advance(expected - 200, 100);
    expect(bench.server("a").probes).toBe(1);
    await bench.advance(400, 100);
    expect(bench.server("a").probes).toBe(2);
  });

  test("come more often while a server is not well, and tell of every change", async () => {
    const bench = await openBench(CHECKED);
    bench.server("a").probe = down;
    await bench.advance(4_100, 100);
    expect(bench.server("a").probes).toBe(3);
    expect(bench.events).toEqual([
      { event: "server-degraded", detail: { serverId: "a", previous: "healthy", reason: "connection refused" } },
      { event: "server-unhealthy", detail: { serverId: "a", previous: "degraded", reason: "connection refused" } },
    ]);
    bench.server("b").probe = down;
    await bench.pool.update("b", { enabled: true });
    await bench.advance(70_000, 100);
    expect(bench.events.at(-1)).toEqual({ event: "all-down", detail: { servers: ["a", "b"] } });
    bench.server("a").probe = () => Promise.resolve();
    await bench.advance(4_100, 100);
    expect(bench.events.slice(-2)).toEqual([
      { event: "server-healthy", detail: { serverId: "a", previous: "unhealthy" } },
      { event: "recovered", detail: { serverId: "a" } },
    ]);
    expect(bench.lines.slice(-2).map(({ message }) => message)).toEqual([
      "Server a is healthy",
      "Requests are balanced over a.",
    ]);
  });

  test("come ever more seldom while a server answers and something is wrong, up to its own interval", async () => {
    const bench = await openBench(CHECKED);
    bench.server("a").probe = () => Promise.resolve("it refuses the credentials");
    await bench.advance(10);
    const counts: number[] = [];
    for (const pause of [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
      await bench.advance(pause, 100);
      counts.push(bench.server("a").probes);
    }
    expect(counts).toEqual([2, 3, 4, 5, 6, 7, 8]);
    expect(bench.events).toEqual([
      {
        event: "server-degraded",
        detail: { serverId: "a", previous: "healthy", reason: "it refuses the credentials" },
      },
    ]);
    bench.server("a").probe = () => Promise.resolve();
    await bench.advance(63_000, 100);
    expect([bench.server("a").probes, bench.pool.list()[0]?.health.status]).toEqual([10, "healthy"]);
  });

  test("wait while every slot of a healthy server is taken, and say nothing of it", async () => {
    const bench = await openBench({
      health: { enabled: true },
      servers: [{ serverId: "a", maxConnections: 1, healthCheckInterval: 5 }],
    });
    await bench.advance(10);
    const bodies: FlowingBody[] = [];
    bench.server("a").behaviour = stream(bodies);
    bench.server("a").probe = down;
    await bench.pool.execute(GET);
    await bench.advance(20_000, 100);
    expect([bench.server("a").probes, bench.events]).toEqual([1, []]);
    bodies[0]?.end();
    await bench.advance(2_100, 100);
    expect([bench.server("a").probes, bench.pool.list()[0]?.health.status]).toEqual([2, "degraded"]);
  });

  test("come soon when a connection finds out by itself that its server is not well", async () => {
    const bench = await openBench(CHECKED);
    await bench.advance(10);
    await bench.pool.execute(GET);
    await bench.advance(10_000, 100);
    bench.server("a").probe = down;
    bench.transport.inits[0]?.troubled?.();
    await bench.advance(10);
    expect(bench.pool.list()[0]?.health.status).toBe("degraded");
  });

  test("find a server well again that never has a free slot", async () => {
    const bench = await openBench({
      health: { enabled: true, successes: 2 },
      servers: [{ serverId: "a", maxConnections: 1, retryAttempts: 0 }],
    });
    bench.server("a").probe = down;
    await bench.advance(4_100, 100);
    expect(bench.pool.list()[0]?.health.status).toBe("unhealthy");
    bench.server("a").probe = () => Promise.resolve();
    const bodies: FlowingBody[] = [];
    bench.server("a").behaviour = stream(bodies);
    for (let count = 0; count < 40; count++) void bench.pool.execute(GET).catch(() => undefined);
    await flush();
    // One slow answer after another; somebody always waits for the slot.
    while (bodies.length < 30) {
      await bench.advance(300, 100);
      bodies.at(-1)?.end();
      await flush();
    }
    expect(bench.pool.list()[0]?.health.status).toBe("healthy");
    await bench.advance(10_000, 100);
    for (const body of bodies) body.end();
    await bench.pool.close({ drain: 0 });
  });

  test("bring back traffic only when they say so", async () => {
    const bench = await openBench(CHECKED);
    await bench.advance(10);
    bench.server("a").probe = down;
    bench.server("a").behaviour = refuse;
    for (let count = 0; count < 3; count++) expect((await bench.pool.execute(GET)).serverId).toBe("b");
    expect(bench.pool.list()[0]?.health.status).toBe("unhealthy");
    bench.server("a").behaviour = answer();
    expect((await bench.pool.execute(GET, { serverId: "a" })).serverId).toBe("a");
    expect((await bench.pool.execute(GET)).serverId).toBe("b");
    bench.server("a").probe = () => Promise.resolve();
    await bench.advance(5_000, 100);
    expect((await bench.pool.execute(GET)).serverId).toBe("a");
  });

  test("come soon after a request failed, but not closer together than the recovery interval", async () => {
    const bench = await openBench(CHECKED);
    await bench.advance(30_000, 100);
    expect(bench.server("a").probes).toBe(1);
    bench.server("a").behaviour = breakOff;
    await bench.pool.execute(GET);
    await bench.advance(10);
    expect(bench.server("a").probes).toBe(2);
    await bench.pool.execute(GET);
    await bench.advance(1_500, 100);
    expect(bench.server("a").probes).toBe(2);
    await bench.advance(1_000, 100);
    expect(bench.server("a").probes).toBe(3);
  });

  test("of one server never overlap, and one without an answer fails in time", async () => {
    const bench = await openBench(CHECKED);
    let running = 0;
    bench.server("a").probe = (signal) => {
      running++;
      expect(running).toBe(1);
      return aborted(signal).finally(() => running--);
    };
    await bench.advance(100);
    bench.server("a").behaviour = breakOff;
    await bench.pool.execute(GET);
    await bench.advance(4_800, 100);
    expect(bench.pool.list()[0]?.health.consecutiveFailures).toBe(1);
    await bench.advance(300, 100);
    expect(bench.pool.list()[0]?.health.consecutiveFailures).toBe(2);
    await bench.advance(8_000, 100);
    expect(bench.lines.findLast(({ level }) => level === "warn")?.message).toContain(
      "no answer to the health check within 5000 ms",
    );
  });

  test.each<[string, HealthProbe]>([
    ["ignores its signal", { probe: () => new Promise(() => undefined) }],
    ["rejects", { probe: () => Promise.reject(new Error("oh no")) }],
  ])("go on although the probe %s", async (_what, probe) => {
    const bench = await openBench({ ...CHECKED, probe });
    await bench.advance(30_000, 100);
    expect(bench.pool.list()[0]?.health.status).toBe("unhealthy");
  });

  test("wait for a connection no longer than for an answer", async () => {
    const bench = await openBench(CHECKED);
    bench.server("a").connect = () => new Promise(() => undefined);
    await bench.advance(30_000, 100);
    expect(bench.pool.list()[0]?.health.status).toBe("unhealthy");
  });

  test("find a server that answers slowly degraded", async () => {
    const bench = await openBench(CHECKED);
    bench.server("a").probe = () => new Promise<void>((resolve) => void bench.clock.after(1_500, resolve));
    await bench.advance(2_000, 100);
    expect(bench.pool.list()[0]?.health).toMatchObject({ status: "degraded" });
    expect(bench.lines.at(-1)?.message).toMatch(/^Server a is degraded: it took 1[56]00 ms to answer a health check$/);
  });

  test("tell the strategy what they took", async () => {
    const seen: unknown[] = [];
    const bench = await openBench({
      ...CHECKED,
      servers: ["a"],
      selector: { select: ([first]) => first, observe: ({ serverId }, { end }) => void seen.push([serverId, end]) },
    });
    await bench.advance(10);
    bench.server("a").probe = down;
    await bench.advance(60_000, 100);
    expect(seen.slice(0, 2)).toEqual([
      ["a", "answer"],
      ["a", "failure"],
    ]);
  });

  test("stop for a server that is disabled, removed or not to be checked, and begin again", async () => {
    const bench = await openBench({ ...CHECKED, servers: ["a"] });
    await bench.pool.add({ serverId: "x", healthCheckInterval: 0 });
    await bench.advance(10);
    expect([bench.server("a").probes, bench.server("x").probes]).toEqual([1, 0]);
    await bench.pool.update("x", { healthCheckInterval: 5 });
    await bench.advance(10);
    expect(bench.server("x").probes).toBe(1);
    await bench.pool.update("x", { enabled: false });
    await bench.advance(60_000, 1_000);
    expect(bench.server("x").probes).toBe(1);
    await bench.pool.update("x", { enabled: true });
    await bench.advance(10);
    expect(bench.server("x").probes).toBe(2);
    await bench.pool.remove("x");
    await bench.advance(60_000, 1_000);
    expect(bench.server("x").probes).toBe(2);
  });

  test("come sooner when the profile changes", async () => {
    const bench = await openBench({ ...CHECKED, servers: [] });
    await bench.pool.add({ serverId: "x", url: "http://one", healthCheckInterval: 3_600 });
    await bench.advance(10_000, 1_000);
    expect(bench.server("x").probes).toBe(1);
    await bench.pool.update("x", { url: "http://two" });
    await bench.advance(10);
    expect(bench.server("x").probes).toBe(2);
  });

  test("that run when their server leaves are given up", async () => {
    const bench = await openBench({ ...CHECKED, servers: [] });
    let reason: unknown;
    bench.server("x").probe = (signal) => aborted(signal).catch((error: unknown) => void (reason = error));
    await bench.pool.add({ serverId: "x" });
    await bench.advance(10);
    await bench.pool.remove("x");
    await flush();
    expect(reason).toBeDefined();
    expect(bench.server("x").closed).toBe(1);
  });
});

describe("health from before the start", () => {
  test("is restored before the first check, whose result overturns it", async () => {
    const store = new ScriptedStore();
    const snapshot = { status: "unhealthy", uptime: 0, consecutiveFailures: 9, consecutiveSuccesses: 0 } as const;
    store.health = { ...store.health, servers: { a: snapshot, gone: snapshot } };
    const bench = await openBench({ ...CHECKED, store });
    expect(bench.pool.list().map((server) => server.health.status)).toEqual(["unhealthy", "healthy"]);
    expect((await bench.pool.execute(GET)).serverId).toBe("b");
    await bench.advance(10);
    expect(bench.pool.list()[0]?.health.status).toBe("healthy");
  });

  test("is forgotten with its server", async () => {
    const bench = await openBench({ ...CHECKED, servers: ["a"] });
    await bench.pool.add({ serverId: "x" });
    await bench.pool.execute(GET);
    await bench.advance(30_000, 1_000);
    expect(Object.keys(bench.store.health.servers)).toEqual(["a", "x"]);
    await bench.pool.remove("x");
    await bench.advance(30_000, 1_000);
    expect(Object.keys(bench.store.health.servers)).toEqual(["a"]);
  });
});

describe("where checks are off", () => {
  test("one request at a time tries an ejected server", async () => {
    const bench = await openBench({ servers: ["a", "b"], health: { enabled: false, ejection: 1_000 } });
    bench.server("a").behaviour = refuse;
    for (let count = 0; count < 3; count++) await bench.pool.execute(GET);
    expect(bench.server("a").asked).toBe(3);
    await bench.pool.execute(GET);
    expect(bench.server("a").asked).toBe(3);
    await bench.advance(1_010);
    const waiting: (() => void)[] = [];
    bench.server("a").behaviour = async (attempt, request) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return answer()(attempt, request);
    };
    const calls = [1, 2, 3].map(() => bench.pool.execute(GET));
    await flush();
    expect(waiting).toHaveLength(1);
    waiting[0]?.();
    expect((await Promise.all(calls)).map((value) => value.serverId)).toEqual(["a", "b", "b"]);
  });

  test("a trial whose caller goes away does not end the trials", async () => {
    const bench = await openBench({ servers: ["a", "b"], health: { enabled: false, ejection: 1_000 } });
    bench.server("a").behaviour = refuse;
    for (let count = 0; count < 3; count++) await bench.pool.execute(GET);
    await bench.advance(1_010);
    bench.server("a").behaviour = (attempt) => aborted(attempt.signal);
    const caller = new AbortController();
    const call = bench.pool.execute(GET, { signal: caller.signal }).catch(() => "cancelled");
    await flush();
    caller.abort();
    expect(await call).toBe("cancelled");
    bench.server("a").behaviour = answer();
    expect((await bench.pool.execute(GET)).serverId).toBe("a");
  });
});

describe("a probe that gives what is no result", () => {
  test.each<[string, unknown]>([
    ["undefined", undefined],
    ["null", null],
    ["string", "healthy"],
    ['a state of "fine"', { state: "fine", latency: 1 }],
    ["a state of undefined", {}],
    ["a latency of undefined", { state: "healthy" }],
    ["a latency of NaN", { state: "healthy", latency: Number.NaN }],
    ["a latency of -1", { state: "healthy", latency: -1 }],
  ])("counts as failed, and is told of once: %s", async (what, given) => {
    const probe: HealthProbe = { probe: () => Promise.resolve(given) as never };
    const bench = await openBench({ ...CHECKED, probe });
    await bench.advance(4_100, 100);
    expect(bench.names()).toEqual([
      "server-degraded",
      "server-degraded",
      "server-unhealthy",
      "server-unhealthy",
      "all-down",
    ]);
    expect(bench.lines.filter(({ level }) => level === "error")).toEqual([
      {
        level: "error",
        message: `The probe "probe" of pool "files" gave ${what}. A result is { state: "healthy", "degraded" or "failed", latency: milliseconds }; anything else counts as failed.`,
      },
      { level: "error", message: 'All servers of pool "files" are down: a, b.' },
    ]);
    const last = bench.lines.findLast(({ level }) => level === "warn");
    expect(last?.message).toBe(`Server b is unhealthy: its probe gave ${what}, which says nothing`);
  });
});
