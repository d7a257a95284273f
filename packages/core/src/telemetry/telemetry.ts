import {
  SpanKind,
  SpanStatusCode,
  context,
  metrics,
  trace,
  type Attributes,
  type BatchObservableResult,
  type Context,
  type Meter,
  type Span,
} from "@opentelemetry/api";
import type { ConnectionStats } from "../contracts/connection.ts";
import type { Failure } from "../contracts/failure.ts";
import type { ProbeResult } from "../contracts/health-probe.ts";
import type { HealthState } from "../contracts/selector.ts";
import { version } from "./version.ts";

const SCOPE = "@davpool/core";
/** Seconds. An answer from nearby takes a millisecond, a large file minutes; the usual boundaries are for neither. */
const TIMES = {
  explicitBucketBoundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
};
const MOST_ATTRIBUTES = 2_000;

/** What a server looks like to whoever collects metrics. */
export interface ObservedServer {
  readonly serverId: string;
  readonly enabled: boolean;
  readonly health: HealthState;
  readonly inFlight: number;
  connectionStats(): ConnectionStats;
}

/** Gauges are read when somebody collects them, so that requests do not pay for them. */
export interface Gauges {
  servers(): Iterable<ObservedServer>;
  /** Calls that wait for a slot. */
  queued(): number;
  /** Retries that the budget has left. */
  retries(): number;
}

/** Health as a number, so that its mean means something. */
const HEALTH = { healthy: 1, degraded: 0.5, unhealthy: 0 } as const satisfies Record<HealthState, number>;

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
  readonly #checkDuration;
  readonly #healthChanges;
  readonly #ejections;
  readonly #attributes = new Map<string, Attributes>();
  readonly #stopGauges: () => void;

  constructor(pool: string, gauges: Gauges) {
    this.#pool = pool;
    const meter = metrics.getMeter(SCOPE, version);
    this.#requests = meter.createCounter("davpool.requests", { description: "Calls, by how they ended." });
    this.#duration = meter.createHistogram("davpool.request.duration", {
      unit: "s",
      description: "Time of whole calls, with every attempt, pause and wait for a slot.",
      advice: TIMES,
    });
    this.#attemptDuration = meter.createHistogram("davpool.attempt.duration", {
      unit: "s",
      description: "Time of single attempts, up to the answer's headers.",
      advice: TIMES,
    });
    this.#hedges = meter.createCounter("davpool.hedges", {
      description: "Requests that were sent to a second server because the first one took long.",
    });
    this.#failovers = meter.createCounter("davpool.failovers", {
      description: "Moves of a call from one server to another.",
    });
    this.#checkDuration = meter.createHistogram("davpool.check.duration", {
      unit: "s",
      description: "Time of health checks, by what they found.",
      advice: TIMES,
    });
    this.#healthChanges = meter.createCounter("davpool.health.changes", {
      description: "Changes of a server's health, by the state it went into.",
    });
    this.#ejections = meter.createCounter("davpool.ejections", {
      description: "Servers that failing requests took out of rotation.",
    });
    this.#stopGauges = this.#observe(meter, gauges);
  }

  /** Returns what ends it. */
  #observe(meter: Meter, gauges: Gauges): () => void {
    const gauge = (name: string, description: string) => meter.createObservableGauge(name, { description });
    const inFlight = gauge("davpool.requests.in_flight", "Attempts that hold a slot now, by server.");
    const queued = gauge("davpool.requests.queued", "Calls that wait for a slot now.");
    const health = gauge("davpool.server.health", "1 healthy, 0.5 degraded, 0 unhealthy; none for a disabled server.");
    const connections = gauge("davpool.connections", "Open sockets, by whether they carry a request.");
    const retries = gauge("davpool.retries.available", "Retries and hedges that the budget has left.");
    const all = [inFlight, queued, health, connections, retries];
    const observe = (result: BatchObservableResult) => {
      const pool = this.#cached(undefined, "");
      result.observe(queued, gauges.queued(), pool);
      result.observe(retries, gauges.retries(), pool);
      for (const server of gauges.servers()) {
        const attributes = this.#cached(server.serverId, "davpool.server");
        result.observe(inFlight, server.inFlight, attributes);
        if (server.enabled) result.observe(health, HEALTH[server.health], attributes);
        const { active, idle } = server.connectionStats();
        result.observe(connections, active, { ...attributes, "davpool.connection.state": "active" });
        result.observe(connections, idle, { ...attributes, "davpool.connection.state": "idle" });
      }
    };
    meter.addBatchObservableCallback(observe, all);
    return () => meter.removeBatchObservableCallback(observe, all);
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

  /** A health check has ended. */
  checked(serverId: string, state: ProbeResult["state"], latency: number): void {
    this.#checkDuration.record(latency / 1_000, {
      "davpool.pool": this.#pool,
      "davpool.server": serverId,
      "davpool.state": state,
    });
  }

  healthChanged(serverId: string, state: HealthState, ejected: boolean): void {
    const server = { "davpool.pool": this.#pool, "davpool.server": serverId };
    this.#healthChanges.add(1, { ...server, "davpool.state": state });
    if (ejected) this.#ejections.add(1, server);
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
