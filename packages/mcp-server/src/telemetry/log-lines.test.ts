import { trace } from "@opentelemetry/api";
import { pino } from "pino";
import { expect, test } from "vitest";
import { createLog } from "../log.ts";
import { exportingLines, traceFields } from "./log-lines.ts";
import { startCollector } from "./testing/collector.test-support.ts";
import { runTelemetry } from "./testing/running-telemetry.test-support.ts";

function linesTo() {
  const lines: Record<string, unknown>[] = [];
  return { lines, write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) };
}

test("a line names the trace and the span in which it is written", async () => {
  const written = linesTo();
  const log = pino({ mixin: traceFields }, written);
  log.info("before");
  await using telemetry = await runTelemetry({ traces: true, otlp: { endpoint: "http://127.0.0.1:9" } });
  trace.getTracer("test").startActiveSpan("span", (span) => {
    log.info({ server: "eu" }, "inside");
    const { traceId, spanId } = span.spanContext();
    expect(written.lines[1]).toMatchObject({ server: "eu", trace_id: traceId, span_id: spanId });
  });
  log.info("after");
  expect(written.lines[0]).not.toHaveProperty("trace_id");
  expect(written.lines[2]).not.toHaveProperty("trace_id");
  await telemetry.shutdown(0);
});

test("lines are exported as they were written, censored and with their trace", async () => {
  await using collector = await startCollector();
  const written = linesTo();
  const log = createLog("debug", written);
  log.info("before telemetry");
  await using telemetry = await runTelemetry({ otlp: { endpoint: collector.url } });
  const context = trace.getTracer("test").startActiveSpan("span", (span) => {
    log.warn("a server is slow", { server: "eu", password: "planted", nested: { token: "planted", count: 2 } });
    span.end();
    return span.spanContext();
  });
  log.error("it failed");
  await telemetry.flush();
  log.info("after telemetry");

  expect(written.lines.map(({ msg }) => msg)).toEqual([
    "before telemetry",
    "a server is slow",
    "it failed",
    "after telemetry",
  ]);
  const [warned, failed, ...more] = collector.logs();
  expect(more).toEqual([]);
  expect(warned).toMatchObject({ body: "a server is slow", severityText: "warn", severityNumber: 13 });
  expect(warned).toMatchObject({ traceId: context.traceId, spanId: context.spanId });
  expect(warned?.attributes).toEqual({
    server: "eu",
    password: "[secret]",
    nested: { token: "[secret]", count: 2 },
  });
  expect(failed).toMatchObject({ body: "it failed", severityNumber: 17, attributes: {} });
  expect(failed?.traceId).toBeUndefined();
  expect(Buffer.concat(collector.requests.map(({ body }) => body)).toString("latin1")).not.toContain("planted");
});

test("a line that is no JSON is exported as it is", async () => {
  await using collector = await startCollector();
  await using telemetry = await runTelemetry({ logs: true, traces: false, otlp: { endpoint: collector.url } });
  exportingLines({ write() {} }).write("not JSON");
  await telemetry.flush();
  expect(collector.logs()).toMatchObject([{ body: "not JSON" }]);
});
