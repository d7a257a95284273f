import { createManualClock, DeadlineExceededError } from "@davpool/core";
import { metrics } from "@opentelemetry/api";
import {
  AggregationTemporality,
  type DataPoint,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { afterEach, expect, test } from "vitest";
import { CircuitBreaker } from "./circuit-breaker.ts";

afterEach(() => metrics.disable());

test("the metric davpool.circuit counts circuits that open and calls that they refuse, by pool", async () => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const provider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] });
  metrics.setGlobalMeterProvider(provider);
  const clock = createManualClock();
  const breaker = new CircuitBreaker({ failures: 2, pause: 10_000 }, clock);
  const fail = (pool: string) => breaker.ended("alice", pool, new DeadlineExceededError("GET", 1_000, []));
  for (const pool of ["files", "files", "archive"]) fail(pool);
  for (let call = 0; call < 3; call++) expect(() => breaker.enter("alice", "files")).toThrow("refused");
  breaker.enter("alice", "archive");
  // The call that is let through counts as neither, whatever comes of it.
  clock.advance(10_000);
  breaker.enter("alice", "files");
  fail("files");

  await provider.forceFlush();
  const exported = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics));
  const points = exported
    .filter(({ descriptor }) => descriptor.name === "davpool.circuit")
    .flatMap(({ dataPoints }): readonly DataPoint<unknown>[] => dataPoints);
  expect(points.map(({ attributes, value }) => ({ ...attributes, value }))).toEqual([
    { "davpool.pool": "files", "davpool.circuit.event": "opened", value: 1 },
    { "davpool.pool": "files", "davpool.circuit.event": "refused", value: 3 },
  ]);
  await provider.shutdown();
});
