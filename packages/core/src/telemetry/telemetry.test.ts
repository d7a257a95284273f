import { metrics, trace } from "@opentelemetry/api";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { afterEach, describe, expect, test } from "vitest";
import { GET, POST, openBench } from "../testing/pool-bench.test-support.ts";
import { breakOff, invalid, refuse, stream, type FlowingBody } from "../testing/scripted-transport.test-support.ts";
import { Telemetry } from "./telemetry.ts";

afterEach(() => {
  trace.disable();
  metrics.disable();
});

function recordSpans() {
  const exporter = new InMemorySpanExporter();
  trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }));
  return () => exporter.getFinishedSpans();
}

function recordMetrics() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  return async () => {
    exporter.reset();
    await reader.forceFlush();
    const [collected] = exporter.getMetrics();
    const found: Record<string, unknown[]> = {};
    for (const { descriptor, dataPoints } of collected?.scopeMetrics[0]?.metrics ?? [])
      found[descriptor.name] = dataPoints.map(({ attributes, value }) => ({
        ...attributes,
        value: typeof value === "number" ? value : (value as { count: number }).count,
      }));
    return found;
  };
}

describe("spans", () => {
  test("of a call have its attempts below them", async () => {
    const spans = recordSpans();
    const bench = await openBench({ servers: ["a", "b"] });
    bench.server("a").behaviour = refuse;
    await bench.pool.execute(GET);
    const [first, second, call] = spans();
    expect([first?.name, second?.name, call?.name]).toEqual(["GET", "GET", "GET"]);
    expect(call?.attributes).toEqual({ "davpool.pool": "files", "davpool.server": "b" });
    expect(first?.attributes).toEqual({
      "davpool.pool": "files",
      "davpool.server": "a",
      "davpool.operation": "GET",
      "davpool.attempt": 1,
      "error.type": "ECONNREFUSED",
    });
    expect(second?.attributes).toMatchObject({ "davpool.server": "b", "davpool.attempt": 2 });
    const id = call?.spanContext().spanId;
    expect([first?.parentSpanContext?.spanId, second?.parentSpanContext?.spanId]).toEqual([id, id]);
    expect([first?.status.code, second?.status.code, call?.status.code]).toEqual([2, 0, 0]);
  });

  test("of a call that fails say how", async () => {
    const spans = recordSpans();
    const bench = await openBench({ servers: ["a"] });
    bench.server("a").behaviour = breakOff;
    await bench.pool.execute(POST).catch(() => undefined);
    expect(spans().at(-1)).toMatchObject({
      attributes: { "error.type": "ECONNRESET" },
      status: { code: 2, message: "connection reset" },
    });
    await bench.pool.execute(GET, { serverId: "x" }).catch(() => undefined);
    expect(spans().at(-1)).toMatchObject({ attributes: { "error.type": "UNKNOWN_SERVER" } });
    bench.server("a").behaviour = invalid;
    await bench.pool.execute(GET).catch(() => undefined);
    expect(spans().at(-1)).toMatchObject({ attributes: { "error.type": "invalid" } });
  });
});

describe("metrics", () => {
  test("count calls, attempts and failovers, and show what is in flight", async () => {
    const collect = recordMetrics();
    const bench = await openBench({ servers: ["a", "b"] });
    bench.server("a").behaviour = refuse;
    const bodies: FlowingBody[] = [];
    bench.server("b").behaviour = stream(bodies);
    await bench.pool.execute(GET);
    const pool = { "davpool.pool": "files" };
    expect(await collect()).toEqual({
      "davpool.requests": [{ ...pool, "davpool.operation": "GET", "davpool.outcome": "ok", value: 1 }],
      "davpool.request.duration": [{ ...pool, "davpool.operation": "GET", "davpool.outcome": "ok", value: 1 }],
      "davpool.attempt.duration": [
        { ...pool, "davpool.server": "a", "davpool.operation": "GET", "davpool.outcome": "unsent", value: 1 },
        { ...pool, "davpool.server": "b", "davpool.operation": "GET", "davpool.outcome": "ok", value: 1 },
      ],
      "davpool.failovers": [{ ...pool, "davpool.server.from": "a", "davpool.server.to": "b", value: 1 }],
      "davpool.health.changes": [{ ...pool, "davpool.server": "a", "davpool.state": "degraded", value: 1 }],
      "davpool.requests.in_flight": [
        { ...pool, "davpool.server": "a", value: 0 },
        { ...pool, "davpool.server": "b", value: 1 },
      ],
      "davpool.requests.queued": [{ ...pool, value: 0 }],
      "davpool.retries.available": [{ ...pool, value: 30 }],
      "davpool.server.health": [
        { ...pool, "davpool.server": "a", value: 0.5 },
        { ...pool, "davpool.server": "b", value: 1 },
      ],
      "davpool.connections": ["a", "b"].flatMap((server) => [
        { ...pool, "davpool.server": server, "davpool.connection.state": "active", value: 1 },
        { ...pool, "davpool.server": server, "davpool.connection.state": "idle", value: 2 },
      ]),
    });
    bodies[0]?.end();
    expect((await collect())["davpool.requests.in_flight"]).toMatchObject([{ value: 0 }, { value: 0 }]);
  });
});

describe("health", () => {
  test("is counted: checks by what they found, changes by state, and ejections", async () => {
    const collect = recordMetrics();
    const bench = await openBench({ servers: ["a", "b"], health: { enabled: true, failures: 2 } });
    bench.server("b").probe = () => Promise.reject(new Error("not well"));
    bench.server("a").behaviour = refuse;
    await bench.advance(10);
    await bench.pool.execute(GET);
    await bench.pool.execute(GET);
    await bench.pool.update("b", { enabled: false }).catch(() => undefined);
    const found = await collect();
    const server = (name: string) => ({ "davpool.pool": "files", "davpool.server": name });
    expect(found["davpool.check.duration"]).toEqual([
      { ...server("a"), "davpool.state": "healthy", value: 1 },
      { ...server("b"), "davpool.state": "failed", value: 1 },
    ]);
    expect(found["davpool.health.changes"]).toContainEqual({
      ...server("a"),
      "davpool.state": "unhealthy",
      value: 1,
    });
    expect(found["davpool.ejections"]).toEqual([{ ...server("a"), value: 1 }]);
    expect(found["davpool.server.health"]).toEqual([{ ...server("a"), value: 0 }]);
  });
});

describe("gauges", () => {
  test("are not read any more once the pool has closed", async () => {
    const collect = recordMetrics();
    let read = 0;
    const telemetry = new Telemetry("files", {
      servers: () => [],
      queued: () => ++read,
      retries: () => 0,
    });
    await collect();
    telemetry[Symbol.dispose]();
    await collect();
    expect(read).toBe(1);
  });
});

describe("without an SDK", () => {
  test("no span is made and nothing is recorded", async () => {
    const telemetry = new Telemetry("files", { servers: () => [], queued: () => 0, retries: () => 0 });
    expect(telemetry.startCall("GET")).toBeUndefined();
    telemetry.endCall(undefined, "GET", 1);
    telemetry.endAttempt(undefined, "a", "GET", 1);
    telemetry[Symbol.dispose]();
  });
});
