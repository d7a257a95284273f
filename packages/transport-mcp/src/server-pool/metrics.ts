import {
  isDavpoolError,
  version,
  type Answer,
  type AttemptRecord,
  type CallOptions,
  type Clock,
  type Pool,
} from "@davpool/core";
import { metrics, type Attributes } from "@opentelemetry/api";
import type { McpRequest, McpResponse, McpWire } from "../wire.ts";

/** Seconds; an answer from nearby takes a millisecond, a long tool minutes. */
const TIMES = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const MOST_ATTRIBUTES = 2_000;

/** What requests to one server came to, since it joined. */
export interface ServerMetrics {
  /** Percentage of its requests that it answered, whatever it said; 100 before the first. */
  readonly successRate: number;
  /** Milliseconds, over all its answers; 0 before the first. */
  readonly averageResponseTime: number;
  /** When it last answered or failed to, ISO 8601; absent before. */
  readonly lastUsed?: string;
}

interface Counts {
  answered: number;
  failed: number;
  /** Milliseconds of all answers together. */
  time: number;
  lastUsed: Date | undefined;
}

/**
 * Counts what is sent to servers, attempt by attempt, and tells the program's OpenTelemetry SDK of it: `mcp.requests` and
 * `mcp.response_time`, which Prometheus calls `mcp_requests_total` and `mcp_response_time`. Requests that were cancelled
 * say nothing about a server, and are not counted.
 */
export class Metrics {
  readonly #pool: string;
  readonly #clock: Clock;
  readonly #servers = new Map<string, Counts>();
  readonly #choices = new Map<string, number>();
  readonly #attributes = new Map<string, Attributes>();
  readonly #requests;
  readonly #responseTime;

  constructor(pool: string, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
    const meter = metrics.getMeter("@davpool/transport-mcp", version);
    this.#requests = meter.createCounter("mcp.requests", {
      description: "Requests to MCP servers, by their outcome.",
    });
    this.#responseTime = meter.createHistogram("mcp.response_time", {
      description: "Time of requests to MCP servers, up to the answer or the failure.",
      unit: "s",
      advice: { explicitBucketBoundaries: TIMES },
    });
  }

  /** A request's servers were chosen in this way. */
  chosen(by: string): void {
    this.#choices.set(by, (this.#choices.get(by) ?? 0) + 1);
  }

  /** Requests by what chose their servers. */
  get choices(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#choices);
  }

  of(serverId: string): ServerMetrics {
    const counts = this.#servers.get(serverId);
    if (!counts) return { successRate: 100, averageResponseTime: 0 };
    const { answered, failed, time, lastUsed } = counts;
    return {
      successRate: percentage(answered, answered + failed),
      averageResponseTime: answered === 0 ? 0 : tenths(time / answered),
      ...(lastUsed && { lastUsed: lastUsed.toISOString() }),
    };
  }

  forget(serverId: string): void {
    this.#servers.delete(serverId);
  }

  /** Runs a request, and counts its attempts. */
  async execute(pool: Pool<McpWire>, request: McpRequest, options: CallOptions): Promise<Answer<McpResponse>> {
    try {
      const answer = await pool.execute(request, options);
      for (const attempt of answer.attempts) this.#attempted(request.method, attempt);
      return answer;
    } catch (error) {
      this.failed(request.method, error);
      throw error;
    }
  }

  /** A request has ended with this error, which may know of attempts. */
  failed(operation: string, error: unknown): void {
    if (!isDavpoolError(error) || !("attempts" in error)) return;
    for (const attempt of error.attempts as readonly AttemptRecord[]) this.#attempted(operation, attempt);
  }

  #attempted(operation: string, { serverId, latency, failure }: AttemptRecord): void {
    if (failure?.kind !== "cancelled" && failure?.kind !== "invalid")
      this.count(operation, serverId, failure?.kind ?? "ok", latency);
  }

  /**
   * A server has answered, or failed to.
   * @param outcome `ok`, or the kind of the failure.
   * @param latency milliseconds.
   */
  count(operation: string, serverId: string, outcome: string, latency: number): void {
    let counts = this.#servers.get(serverId);
    if (!counts) this.#servers.set(serverId, (counts = { answered: 0, failed: 0, time: 0, lastUsed: undefined }));
    counts.lastUsed = this.#clock.wall();
    if (outcome === "ok") {
      counts.answered++;
      counts.time += latency;
    } else counts.failed++;
    if (!this.#requests) return;
    const attributes = this.#attributesOf(operation, serverId, outcome);
    this.#requests.add(1, attributes);
    this.#responseTime.record(latency / 1_000, attributes);
  }

  /** The same attributes are the same object. */
  #attributesOf(operation: string, serverId: string, outcome: string): Attributes {
    const key = `${serverId}\n${operation}\n${outcome}`;
    let attributes = this.#attributes.get(key);
    if (!attributes) {
      // Servers come and go; what was said of those that went is not kept for ever.
      if (this.#attributes.size >= MOST_ATTRIBUTES) this.#attributes.clear();
      attributes = {
        "davpool.pool": this.#pool,
        "davpool.server": serverId,
        "davpool.operation": operation,
        "davpool.outcome": outcome,
      };
      this.#attributes.set(key, attributes);
    }
    return attributes;
  }
}

/** @returns 100 of nothing. */
export function percentage(part: number, whole: number): number {
  return whole === 0 ? 100 : tenths((100 * part) / whole);
}

function tenths(value: number): number {
  return Math.round(10 * value) / 10;
}
