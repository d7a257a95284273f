import type { ConnectionStats, HealthSnapshot, HealthState, RequestCounters, ServerOrigin } from "@davpool/core";

/** What `davpool status` found out; `--json` prints it as it is. */
export interface StatusReport {
  /** ISO 8601. */
  readonly at: string;
  readonly file: string | null;
  /** Every pool has a usable server. */
  readonly usable: boolean;
  readonly pools: readonly PoolReport[];
  /** What went wrong while looking, such as a stored server that cannot be read. */
  readonly errors: readonly string[];
}

export interface PoolReport {
  readonly name: string;
  readonly transport: string;
  readonly strategy: string;
  readonly usable: boolean;
  /** The server that was made the active one, if any. */
  readonly activeServerId: string | null;
  /** The server that a request would prefer now. */
  readonly preferredServerId: string | null;
  /** As they were last recorded by those that serve the pool; null when that cannot be read. */
  readonly requests: RequestsReport | null;
  readonly servers: readonly ServerReport[];
}

export interface RequestsReport extends Omit<RequestCounters, "responseTimeSum"> {
  /** Milliseconds, over all successful calls. */
  readonly averageResponseTime: number;
}

export interface ServerReport {
  readonly serverId: string;
  readonly url?: string;
  readonly priority: number;
  readonly group?: string;
  readonly origin: ServerOrigin;
  readonly enabled: boolean;
  /** What a check made now found. `unknown`: it has not ended yet. */
  readonly health: HealthState | "disabled" | "unknown";
  /** Why it is not healthy, in one line. */
  readonly problem?: string;
  /** Milliseconds in which it answered the check; absent when it did not. */
  readonly latency?: number;
  /** ISO 8601. */
  readonly checkedAt?: string;
  /** Sockets of this look; those of whoever serves the pool cannot be seen from here. */
  readonly connections: ConnectionStats;
  /** Health as it was last recorded by those that serve the pool. */
  readonly recorded?: HealthSnapshot;
}
