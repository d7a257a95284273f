import type { HealthState } from "./selector.ts";

/**
 * Keeps what must survive a restart: the servers added at run time, the active server, health and counters.
 *
 * Several processes may share one store. So nothing is held for life: each `update` reads the newest state, changes
 * it and writes it, with the others kept out meanwhile. A reader sees the old state or the new one, never a mixture.
 * A store serves one pool.
 */
export interface ProfileStore extends AsyncDisposable {
  /** @throws StoreError when the state exists and cannot be read. */
  load(): Promise<StoredState>;
  /**
   * Reads the newest state, applies `change` and saves the result durably before it resolves.
   * `change` may run more than once and may throw to leave everything as it was.
   */
  update(change: (state: StoredState) => StoredState): Promise<StoredState>;
  loadHealth(): Promise<StoredHealth>;
  /** As {@link update}, for health and counters, which are written seldom and may be lost without harm. */
  updateHealth(change: (state: StoredHealth) => StoredHealth): Promise<void>;
  /** Tells of changes made by other processes. Absent where the state cannot be shared. */
  watch?(changed: (state: StoredState) => void): Disposable;
}

export interface StoredState {
  readonly activeServerId: string | undefined;
  readonly servers: readonly StoredServer[];
  /** By id, declared servers that a caller has enabled or disabled against what the configuration says. */
  readonly overrides?: Readonly<Record<string, EnabledOverride>>;
}

/** A caller's word on whether a declared server takes requests. It ends when the configuration says the same. */
export interface EnabledOverride {
  readonly enabled: boolean;
  /** The principal who said so, where callers have one. */
  readonly by?: string;
  /** ISO 8601. */
  readonly at: string;
}

export interface StoredServer {
  readonly serverId: string;
  /** The profile without its secret fields, as plain JSON. */
  readonly profile: Readonly<Record<string, unknown>>;
  /** Secret fields in clear. A store that writes them anywhere encrypts them. */
  readonly secrets: Readonly<Record<string, string>>;
}

export interface StoredHealth {
  readonly servers: Readonly<Record<string, StoredSnapshot>>;
  readonly counters: RequestCounters;
}

/** Health of one server, in the words and units in which it is shown and stored. */
export interface HealthSnapshot {
  readonly status: HealthState;
  /** ISO 8601; absent before the first check. */
  readonly lastCheck?: string;
  /** Milliseconds of the last successful check or answer. */
  readonly responseTime?: number;
  /** Percentage of the last 24 hours, or since start if shorter, spent not unhealthy. */
  readonly uptime: number;
  readonly consecutiveFailures: number;
  readonly consecutiveSuccesses: number;
}

/** Health as it is stored, so that a restart loses nothing of it. */
export interface StoredSnapshot extends HealthSnapshot {
  /** ISO 8601: since when `uptime` has been measured. Absent: for 24 hours. */
  readonly uptimeSince?: string;
}

/** Counts of calls, not of attempts. */
export interface RequestCounters {
  readonly total: number;
  readonly successful: number;
  readonly failed: number;
  /** Calls that moved on to another server at least once. */
  readonly failoverCount: number;
  /** Milliseconds of all successful calls together. */
  readonly responseTimeSum: number;
}
