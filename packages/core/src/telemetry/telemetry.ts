import {
  SpanKind,
  SpanStatusCode,
  context,
  metrics,
  trace,
  type Attributes,
  type Context,
  type Span,
} from "@opentelemetry/api";
import type { Failure } from "../contracts/failure.ts";
import { version } from "./version.ts";

const SCOPE = "@davpool/core";
const MOST_ATTRIBUTES = 2_000;

/** Gauges are read when somebody collects them, so that requests do not pay for them. */
export interface Gauges {
  inFlight(): Iterable<{ readonly serverId: string; readonly inFlight: number }>;
}

/**
 * Spans for calls and attempts, and the pool's metrics, through the OpenTelemetry API. Without an SDK all of it does
 * nothing: attributes are then not even put together.
 */
export class Telemetry {
  readonly #pool: string;
  readonly #tracer = trace.getTracer(SCOPE, version);
  readonly #requests;
  readonly #duration;
  readonly #attemptDuration;
  readonly #failovers;
  readonly #hedges;
  readonly #attributes = new Map<string, Attributes>();
  readonly #stopGauges: () => void;

  constructor(pool: string, gauges: Gauges) {
    this.#pool = pool;
    const meter = metrics.getMeter(SCOPE, version);
    this.#requests = meter.createCounter("davpool.requests", { description: "Calls, by how they ended." });
    this.#duration = meter.createHistogram("davpool.request.duration", {
      unit: "s",
      description: "Time of whole calls, with every attempt, pause and wait for a slot.",
    });
    this.#attemptDuration = meter.createHistogram("davpool.attempt.duration", {
      unit: "s",
      description: "Time of single attempts, up to the answer's headers.",
    });
    this.#hedges = meter.createCounter("davpool.hedges", {
      description: "Requests that were sent to a second server because the first one took long.",
    });
    this.#failovers = meter.createCounter("davpool.failovers", {
      description: "Moves of a call from one server to another.",
    });
    const gauge = meter.createObservableGauge("davpool.requests.in_flight", {
      description: "Attempts that hold a slot now, by server.",
    });
    const observe: Parameters<typeof gauge.addCallback>[0] = (result) => {
      for (const { serverId, inFlight } of gauges.inFlight())
        result.observe(inFlight, this.#cached(serverId, "davpool.server"));
    };
    gauge.addCallback(observe);
    this.#stopGauges = () => gauge.removeCallback(observe);
  }

  /** Begins the span of a call, below the caller's; undefined when nobody records it. */
  startCall(operation: string): Span | undefined {
    const span = this.#tracer.startSpan(operation, { kind: SpanKind.INTERNAL });
    if (!span.isRecording()) return undefined;
    span.setAttribute("davpool.pool", this.#pool);
    return span;
  }

  /** Begins the span of an attempt, below its call's, and returns the context to run it in. */
  startAttempt(call: Span, operation: string, serverId: string, ordinal: number): { span: Span; context: Context } {
    const parent = trace.setSpan(context.active(), call);
    const span = this.#tracer.startSpan(
      operation,
      {
        kind: SpanKind.CLIENT,
        attributes: {
          "davpool.pool": this.#pool,
          "davpool.server": serverId,
          "davpool.operation": operation,
          "davpool.attempt": ordinal,
        },
      },
      parent,
    );
    return { span, context: trace.setSpan(parent, span) };
  }

  endAttempt(span: Span | undefined, serverId: string, operation: string, latency: number, failure?: Failure): void {
    const end = failure?.kind ?? "ok";
    this.#attemptDuration.record(latency / 1_000, this.#cached(serverId, "davpool.server", operation, end));
    if (span) close(span, failure);
  }

  endCall(span: Span | undefined, operation: string, latency: number, serverId?: string, failure?: Failure): void {
    const attributes = this.#cached(undefined, "", operation, failure?.kind ?? "ok");
    this.#requests.add(1, attributes);
    this.#duration.record(latency / 1_000, attributes);
    if (!span) return;
    if (serverId !== undefined) span.setAttribute("davpool.server", serverId);
    close(span, failure);
  }

  hedge(operation: string): void {
    this.#hedges.add(1, { "davpool.pool": this.#pool, "davpool.operation": operation });
  }

  failover(from: string, to: string): void {
    this.#failovers.add(1, { "davpool.pool": this.#pool, "davpool.server.from": from, "davpool.server.to": to });
  }

  [Symbol.dispose](): void {
    this.#stopGauges();
  }

  /** The same attributes are the same object: their values are few, and requests are many. */
  #cached(value: string | undefined, name: string, operation?: string, end?: string): Attributes {
    const key = `${value ?? ""}\n${operation ?? ""}\n${end ?? ""}`;
    let attributes = this.#attributes.get(key);
    if (!attributes) {
      // Servers come and go; what was said of those that went is not kept for ever.
      if (this.#attributes.size >= MOST_ATTRIBUTES) this.#attributes.clear();
      attributes = {
        "davpool.pool": this.#pool,
        ...(value !== undefined && { [name]: value }),
        ...(operation !== undefined && { "davpool.operation": operation }),
        ...(end !== undefined && { "davpool.outcome": end }),
      };
      this.#attributes.set(key, attributes);
    }
    return attributes;
  }
}

function close(span: Span, failure: Failure | undefined): void {
  if (failure) {
    span.setAttribute("error.type", String(failure.code ?? failure.kind));
    span.setStatus({ code: SpanStatusCode.ERROR, message: failure.message });
  }
  span.end();
}
