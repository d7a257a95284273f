import { version } from "@davpool/core";
import {
  SpanKind,
  SpanStatusCode,
  context,
  createNoopMeter,
  isSpanContextValid,
  metrics,
  trace,
  type Attributes,
  type Context,
  type Histogram,
  type MeterProvider,
  type Span,
  type Tracer,
  type TracerProvider,
} from "@opentelemetry/api";
import { extractMetaContext, type RequestMeta } from "./remote-parent.ts";

/** A request of an MCP client, as far as telemetry wants to know it. */
export interface ObservedRequest {
  /** One that the server knows: it becomes the name of a span and the label of a metric, and those must be few. */
  readonly method: string;
  /** Of `tools/call`: a tool that exists, for the same reason. */
  readonly toolName?: string;
  /** undefined for notifications. */
  readonly requestId: string | number | undefined;
  readonly protocolVersion?: string;
  readonly sessionId?: string;
  /** `pipe` is standard input and output, `tcp` is HTTP. */
  readonly transport: "pipe" | "tcp";
  /** `params._meta`. */
  readonly meta?: RequestMeta;
}

/** How a request ended, when it did not end well. */
interface Failure {
  /** Of the span and of the metric. */
  readonly attributes: Attributes;
  readonly message: string | undefined;
}

const SCOPE = "@davpool/mcp-server";
/** Seconds, as the MCP conventions have them. */
const BOUNDARIES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300];

// Both know the provider they were made by and no later one.
let tracers: TracerProvider | undefined;
let tracer: Tracer;
let meters: MeterProvider | undefined;
let durations: Histogram | undefined;

/**
 * Runs what answers a request of an MCP client inside a span of its own, and measures it, by the MCP conventions.
 * The span's parent is the caller's that `_meta` names, else the active one; with both, the active one is linked.
 * Without an SDK it runs what it is given, and that is all.
 */
export async function observeRequest<T>(request: ObservedRequest, run: () => Promise<T> | T): Promise<T> {
  const histogram = durationHistogram();
  const parent = extractMetaContext(request.meta);
  const span = startSpan(request, parent);
  if (!histogram && !span) return run();
  const startedAt = performance.now();
  let failure: Failure | undefined;
  try {
    const result = await (span ? context.with(trace.setSpan(parent, span), run) : run());
    failure = failureOf(result);
    return result;
  } catch (error) {
    failure = failureFrom(error);
    throw error;
  } finally {
    histogram?.record((performance.now() - startedAt) / 1_000, { ...lowCardinality(request), ...failure?.attributes });
    if (span) end(span, failure);
  }
}

/** undefined when nobody traces. One that is not recorded is there nevertheless, so that nothing below it is either. */
function startSpan(request: ObservedRequest, parent: Context): Span | undefined {
  const { method, toolName, requestId, sessionId } = request;
  const ambient = trace.getSpanContext(context.active());
  const linked = ambient && parent !== context.active() && isSpanContextValid(ambient);
  const span = currentTracer().startSpan(
    toolName === undefined ? method : `${method} ${toolName}`,
    { kind: SpanKind.SERVER, ...(linked && { links: [{ context: ambient }] }) },
    parent,
  );
  if (span.isRecording()) {
    span.setAttributes(lowCardinality(request));
    if (requestId !== undefined) span.setAttribute("jsonrpc.request.id", String(requestId));
    if (sessionId !== undefined) span.setAttribute("mcp.session.id", sessionId);
    return span;
  }
  return isSpanContextValid(span.spanContext()) ? span : undefined;
}

/** What both the span and the metric are labelled with. */
function lowCardinality({ method, toolName, protocolVersion, transport }: ObservedRequest): Attributes {
  return {
    "mcp.method.name": method,
    "network.transport": transport,
    ...(toolName !== undefined && { "gen_ai.tool.name": toolName, "gen_ai.operation.name": "execute_tool" }),
    ...(protocolVersion !== undefined && { "mcp.protocol.version": protocolVersion }),
  };
}

/** A tool's own failure is a result like others; its text may hold anything, so it stays out. */
function failureOf(result: unknown): Failure | undefined {
  if (typeof result !== "object" || result === null || !("isError" in result) || result.isError !== true)
    return undefined;
  return { attributes: { "error.type": "tool_error" }, message: undefined };
}

function failureFrom(error: unknown): Failure {
  const { code, name, message } = error instanceof Error ? (error as Error & { readonly code?: unknown }) : {};
  if (typeof code === "number") {
    const status = String(code);
    return { attributes: { "error.type": status, "rpc.response.status_code": status }, message };
  }
  return { attributes: { "error.type": typeof code === "string" ? code : (name ?? "_OTHER") }, message };
}

function end(span: Span, failure: Failure | undefined): void {
  if (failure) {
    span.setAttributes(failure.attributes);
    const { message } = failure;
    span.setStatus({ code: SpanStatusCode.ERROR, ...(message !== undefined && { message }) });
  }
  span.end();
}

function currentTracer(): Tracer {
  const provider = trace.getTracerProvider();
  if (provider !== tracers) {
    tracers = provider;
    tracer = provider.getTracer(SCOPE, version);
  }
  return tracer;
}

/** undefined when nobody measures. */
function durationHistogram(): Histogram | undefined {
  const provider = metrics.getMeterProvider();
  if (provider !== meters) {
    meters = provider;
    const meter = provider.getMeter(SCOPE, version);
    durations =
      meter === createNoopMeter()
        ? undefined
        : meter.createHistogram("mcp.server.operation.duration", {
            unit: "s",
            description: "Time from an MCP request's arrival until its answer.",
            advice: { explicitBucketBoundaries: BOUNDARIES },
          });
  }
  return durations;
}
