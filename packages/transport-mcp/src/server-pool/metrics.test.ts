import { createManualClock } from "@davpool/core";
import { metrics, type MeterProvider } from "@opentelemetry/api";
import { afterEach, describe, expect, test } from "vitest";
import { percentage } from "./metrics.ts";
import { openBench } from "./testing/bench.test-support.ts";

/** One measurement, as whoever collects it sees it. */
interface Measured {
  readonly name: string;
  readonly value: number;
  readonly server: string | undefined;
  readonly operation: string | undefined;
  readonly outcome: string | undefined;
}

afterEach(() => metrics.disable());

/** Registers a provider that writes down what is measured by the pool, and nothing else. */
function measure(): readonly Measured[] {
  const measured: Measured[] = [];
  const instrument = (name: string) => (value: number, attributes: Readonly<Record<string, string>>) =>
    void measured.push({
      name,
      value,
      server: attributes["davpool.server"],
      operation: attributes["davpool.operation"],
      outcome: attributes["davpool.outcome"],
    });
  const nothing = { add() {}, record() {}, addCallback() {}, removeCallback() {} };
  metrics.setGlobalMeterProvider({
    getMeter: (scope: string) => ({
      createCounter: (name: string) => (scope === "@davpool/transport-mcp" ? { add: instrument(name) } : nothing),
      createHistogram: (name: string) => (scope === "@davpool/transport-mcp" ? { record: instrument(name) } : nothing),
      createObservableGauge: () => nothing,
      addBatchObservableCallback() {},
      removeBatchObservableCallback() {},
    }),
  } as unknown as MeterProvider);
  return measured;
}

describe("what the pool counts", () => {
  test("of all servers: success rate, average time, moves to other servers, and what chose the servers", async () => {
    await using bench = await openBench({ fallbackOrder: ["s2"] }, [{}, {}, {}]);
    const { pool, one } = bench;
    expect(pool.getStats()).toMatchObject({ successRate: 100, strategyUsage: {} });
    await pool.listTools();
    await one.stop();
    for (let call = 0; call < 3; call++) await pool.callTool("read");
    await pool.callTool("read", {}, { serverId: "s3" });
    await pool.broadcast("tool_call", { name: "read" }, { aggregate: "fastest", serverIds: ["s2", "s3"] });
    await pool.run("tool_call", { name: "read" }, { serverId: "s1", deadline: 300 }).catch(() => {});
    const { requests, successRate, averageResponseTime, strategyUsage } = pool.getStats();
    expect(requests).toMatchObject({ failed: 1, failoverCount: 1 });
    expect(successRate).toBe(percentage(requests.successful, requests.total));
    expect(averageResponseTime).toBeGreaterThan(0);
    expect(strategyUsage).toEqual({ "round-robin": 3, serverId: 2, fastest: 1 });
  });

  test("of each server: success rate, average time and when it was used last", async () => {
    const clock = createManualClock();
    await using bench = await openBench({ clock, maxRetries: 1, fallbackOrder: ["s2"] });
    const { pool, one } = bench;
    const of = (serverId: string) => pool.getServers().find(({ id }) => id === serverId)?.stats;
    expect(of("s1")).toMatchObject({ successRate: 100, averageResponseTime: 0 });
    expect(of("s1")).not.toHaveProperty("lastUsed");
    await pool.listTools();
    clock.advance(1_000);
    one.inject({ kind: "status", status: 403 });
    for (let call = 0; call < 2; call++) await pool.callTool("read");
    expect(of("s1")).toMatchObject({
      successRate: 50,
      requestsSent: 2,
      errors: 1,
      lastUsed: "2026-01-01T00:00:01.000Z",
    });
    expect(of("s2")).toMatchObject({ successRate: 100, requestsSent: 3, errors: 0 });
    await pool.removeServer("s1");
    await pool.addServer({ serverId: "s1", url: one.url });
    expect(of("s1")).toMatchObject({ successRate: 100 });
  });
});

describe("OpenTelemetry", () => {
  test("hears of every attempt: its server, its operation, how it ended and how long it took", async () => {
    const measured = measure();
    await using bench = await openBench({ maxRetries: 1 });
    const { pool, one } = bench;
    await pool.listTools();
    one.inject({ kind: "status", status: 503 });
    for (let call = 0; call < 2; call++) await pool.callTool("read");
    await pool.broadcast("resource_read", { uri: "test://none" });
    const counts = measured.filter(({ name }) => name === "mcp.requests");
    expect(counts.map(({ operation, server, outcome }) => `${operation} ${server} ${outcome}`).toSorted()).toEqual([
      "resources/list s1 ok",
      "resources/list s2 ok",
      "resources/read s1 ok",
      "resources/read s2 ok",
      "tools/call s1 overload",
      "tools/call s2 ok",
      "tools/call s2 ok",
      "tools/list s1 ok",
      "tools/list s2 ok",
    ]);
    const times = measured.filter(({ name }) => name === "mcp.response_time");
    expect(times).toHaveLength(counts.length);
    // In seconds.
    for (const { value } of times) expect(value).toBeLessThan(30);
  });

  test("hears nothing of requests that were cancelled", async () => {
    const measured = measure();
    await using bench = await openBench({}, [{}]);
    const { pool, one } = bench;
    await pool.listTools();
    one.inject({ kind: "hang", on: "call" });
    const abort = new AbortController();
    const end = pool.callTool("read", {}, { signal: abort.signal }).catch(() => {});
    await one.log.received("read");
    abort.abort();
    await end;
    expect(measured.filter(({ operation }) => operation === "tools/call")).toEqual([]);
    one.clearFaults();
  });
});

test("a share of nothing is all of it", () => {
  expect([percentage(0, 0), percentage(0, 2), percentage(1, 3)]).toEqual([100, 0, 33.3]);
});
