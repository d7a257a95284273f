import { context, metrics, propagation, trace, type Attributes } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from "@opentelemetry/core";
import { MeterProvider, MetricReader, type Histogram } from "@opentelemetry/sdk-metrics";
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { observeRequest, type ObservedRequest } from "./observe-request.ts";
import { extractHttpContext } from "./remote-parent.ts";

const call: ObservedRequest = { method: "tools/call", toolName: "dav_request", requestId: "a-1", transport: "pipe" };
const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

class Reader extends MetricReader {
  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }
}

describe("a request", () => {
  const exporter = new InMemorySpanExporter();
  let reader: Reader;
  const last = () => exporter.getFinishedSpans().at(-1);

  beforeEach(() => {
    exporter.reset();
    reader = new Reader();
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    propagation.setGlobalPropagator(
      new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
    );
    trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }));
    metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  });
  afterEach(() => {
    for (const api of [trace, metrics, propagation, context]) api.disable();
  });

  async function measured(): Promise<{ attributes: Attributes; value: Histogram }[]> {
    const { resourceMetrics } = await reader.collect();
    const [metric] = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics);
    expect(metric?.descriptor).toMatchObject({ name: "mcp.server.operation.duration", unit: "s" });
    return (metric?.dataPoints ?? []) as never;
  }

  test("that is not a tool's is named by its method alone", async () => {
    expect(await observeRequest({ method: "tools/list", requestId: 0, transport: "tcp" }, () => "list")).toBe("list");
    expect(last()).toMatchObject({ name: "tools/list", kind: 1, status: { code: 0 } });
    expect(last()?.attributes).toEqual({
      "mcp.method.name": "tools/list",
      "network.transport": "tcp",
      "jsonrpc.request.id": "0",
    });
  });

  test("is measured in seconds, in the buckets of the conventions, without what is different every time", async () => {
    await observeRequest({ ...call, sessionId: "s", protocolVersion: "2025-11-25" }, () => ({}));
    const [point] = await measured();
    expect(point?.attributes).toEqual({
      "mcp.method.name": "tools/call",
      "gen_ai.tool.name": "dav_request",
      "gen_ai.operation.name": "execute_tool",
      "mcp.protocol.version": "2025-11-25",
      "network.transport": "pipe",
    });
    expect(point?.value.buckets.boundaries).toEqual([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]);
    expect(point?.value).toMatchObject({ count: 1 });
    expect(point?.value.sum).toBeLessThan(1);
  });

  test.each<[string, () => unknown, Attributes, string | undefined]>([
    ["a tool's own failure", () => ({ isError: true, content: "planted" }), { "error.type": "tool_error" }, undefined],
    [
      "an error of the protocol",
      () => Promise.reject(Object.assign(new Error("no such tool"), { code: -32602 })),
      { "error.type": "-32602", "rpc.response.status_code": "-32602" },
      "no such tool",
    ],
    [
      "an error with a code",
      () => Promise.reject(Object.assign(new Error("it is full"), { code: "POOL_EXHAUSTED" })),
      { "error.type": "POOL_EXHAUSTED" },
      "it is full",
    ],
    ["an error", () => Promise.reject(new TypeError("oh")), { "error.type": "TypeError" }, "oh"],
    [
      "an error thrown at once",
      () => {
        throw new RangeError("oh");
      },
      { "error.type": "RangeError" },
      "oh",
    ],
  ])("that ends with %s says so in its span and its measurement", async (_, run, attributes, message) => {
    await observeRequest(call, run).catch(() => undefined);
    expect(last()?.attributes).toMatchObject(attributes);
    expect(last()?.status).toEqual({ code: 2, ...(message !== undefined && { message }) });
    expect((await measured())[0]?.attributes).toMatchObject(attributes);
  });

  test("that throws throws the same", async () => {
    const error = new Error("the same");
    await expect(observeRequest(call, () => Promise.reject(error))).rejects.toBe(error);
  });

  test("has the caller in `_meta` as its parent, and what it came in by HTTP as a link", async () => {
    const tracestate = "vendor=1";
    const baggage = "user=alice";
    const http = { traceparent: "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01" };
    const seen = await context.with(extractHttpContext(http), () =>
      observeRequest({ ...call, meta: { traceparent, tracestate, baggage, progressToken: 1 } }, () =>
        propagation.getActiveBaggage()?.getEntry("user"),
      ),
    );
    expect(seen).toEqual({ value: "alice" });
    expect(last()?.parentSpanContext).toMatchObject({
      traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
      spanId: "00f067aa0ba902b7",
      isRemote: true,
    });
    expect(last()?.spanContext().traceState?.serialize()).toBe(tracestate);
    expect(last()?.links.map((link) => link.context.spanId)).toEqual(["bbbbbbbbbbbbbbbb"]);
  });

  test.each([{ traceparent }, new Headers({ traceparent })])(
    "has the caller by HTTP as its parent otherwise",
    async (headers) => {
      await context.with(extractHttpContext(headers), () =>
        observeRequest({ ...call, meta: { progressToken: 1 } }, () => 1),
      );
      expect(last()?.parentSpanContext?.spanId).toBe("00f067aa0ba902b7");
      expect(last()?.links).toEqual([]);
    },
  );

  test.each<Record<string, unknown>>([
    { traceparent: 42 },
    { traceparent: "nonsense" },
    { traceparent: "00-00000000000000000000000000000000-0000000000000000-01" },
    { traceparent: ["a", "b"], tracestate: {} },
    { baggage: "=,;=" },
  ])("with %j in `_meta` begins a trace of its own", async (meta) => {
    await observeRequest({ ...call, meta }, () => 1);
    expect(last()?.parentSpanContext).toBeUndefined();
  });

  test("is the active span for what it runs", async () => {
    const seen = await observeRequest(call, async () => {
      await Promise.resolve();
      return trace.getActiveSpan()?.spanContext().spanId;
    });
    expect(seen).toBe(last()?.spanContext().spanId);
  });
});

describe("without an SDK", () => {
  test("a request just runs, in the context that it came in", async () => {
    const before = context.active();
    let inside;
    const run = () => {
      inside = context.active();
      return "answer";
    };
    expect(await observeRequest({ ...call, meta: { traceparent } }, run)).toBe("answer");
    expect(inside).toBe(before);
  });
});
