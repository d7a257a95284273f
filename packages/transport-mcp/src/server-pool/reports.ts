import type { HealthSnapshot, PoolStats, ServerStatus } from "@davpool/core";
import type { BatchStats } from "./batching.ts";
import type { CacheStats } from "./cache.ts";
import type { McpCircuit } from "./circuit.ts";
import type { ServerMetrics } from "./metrics.ts";
import type { WorkQueueStats } from "./work-queue/work-queue.ts";

/** `offline`: it takes no requests until it has recovered. `disabled`: its profile says so. */
export type McpServerState = "online" | "degraded" | "offline" | "disabled";

/** One server of a pool, without its secrets. */
export interface McpServerInfo {
  readonly id: string;
  /** Where it is, or what is run. */
  readonly target: string;
  readonly status: McpServerState;
  /** The pool tries no more to reach it: `reconnectAttempts` have failed. */
  readonly givenUp: boolean;
  /** 1 is the highest. */
  readonly priority: number;
  readonly weight: number;
  readonly group: string | undefined;
  /** Requests in flight. */
  readonly activeTasks: number;
  readonly circuit: McpCircuit;
  readonly stats: ServerMetrics & {
    /** Attempts since it joined, lists included. */
    readonly requestsSent: number;
    readonly errors: number;
    /** Milliseconds of the last answer. */
    readonly responseTime: number | undefined;
    /** Percentage of the last 24 hours, or since it joined, spent not offline. */
    readonly uptime: number;
  };
  readonly health: HealthSnapshot | undefined;
}

export interface McpServerPoolStats {
  readonly servers: number;
  /** Servers that take requests and are well. */
  readonly healthy: number;
  readonly degraded: number;
  readonly offline: number;
  /** Tasks that have not ended. */
  readonly tasks: number;
  readonly queue: WorkQueueStats;
  readonly strategy: string;
  /** Requests by what chose their servers: the strategy, `serverId` where the caller did, or the aggregation of a broadcast. */
  readonly strategyUsage: Readonly<Record<string, number>>;
  /** Requests, however many attempts each took; `failoverCount` of them moved on to another server. */
  readonly requests: PoolStats["requestStats"];
  /** Percentage of the requests that were answered; 100 before the first. */
  readonly successRate: number;
  /** Milliseconds, over all successful requests. */
  readonly averageResponseTime: number;
  /** Where there is a cache. */
  readonly cache?: CacheStats;
  /** Where requests leave together. */
  readonly batch?: BatchStats;
}

/** What the pool itself counts of a server. */
interface Measured extends ServerMetrics {
  readonly circuit: McpCircuit;
}

const STATES = { healthy: "online", degraded: "degraded", unhealthy: "offline" } as const;

export function serverInfo(status: ServerStatus, { circuit, ...metrics }: Measured): McpServerInfo {
  const { serverId, profile, enabled, priority, group, health, inFlight, attempts } = status;
  return {
    id: serverId,
    target: targetOf(profile),
    status: enabled ? STATES[health.status] : "disabled",
    givenUp: false,
    priority,
    weight: Number(profile["weight"] ?? 1),
    group,
    activeTasks: inFlight,
    circuit,
    stats: {
      ...metrics,
      requestsSent: attempts.total,
      errors: attempts.failed,
      responseTime: health.responseTime,
      uptime: health.uptime,
    },
    health,
  };
}

/** A server that is configured, and that the pool has given up. */
export function givenUpInfo(
  server: { readonly serverId: string; readonly priority?: number; readonly weight?: number; readonly group?: string },
  { circuit, ...metrics }: Measured,
): McpServerInfo {
  const { serverId, priority = 1, weight = 1, group } = server;
  return {
    id: serverId,
    target: targetOf(server as object as Readonly<Record<string, unknown>>),
    status: "offline",
    givenUp: true,
    priority,
    weight,
    group,
    activeTasks: 0,
    circuit,
    stats: { ...metrics, requestsSent: 0, errors: 0, responseTime: undefined, uptime: 0 },
    health: undefined,
  };
}

function targetOf(profile: Readonly<Record<string, unknown>>): string {
  const { url, command, args } = profile as { url?: string; command?: string | readonly string[]; args?: string[] };
  return url ?? [command ?? [], args ?? []].flat().join(" ");
}
