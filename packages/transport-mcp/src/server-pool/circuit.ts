import type { Clock, HealthSnapshot } from "@davpool/core";

/**
 * A server's circuit breaker, which is its health in other words.
 *
 * `closed`: it takes requests. `open`: it takes none. `half-open`: something has gone well since it opened, a check, or a
 * request where it is not checked, and more of it must before it closes.
 */
export interface McpCircuit {
  readonly state: "closed" | "open" | "half-open";
  /** Failures in a row, of checks and requests; `offlineThreshold` of them open it. */
  readonly failures: number;
  /** When it opened, ISO 8601; absent while it is closed. */
  readonly since?: string;
}

/** Remembers when the circuits of servers opened. */
export class Circuits {
  readonly #clock: Clock;
  readonly #openedAt = new Map<string, string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  opened(serverId: string): void {
    this.#openedAt.set(serverId, this.#clock.wall().toISOString());
  }

  forget(serverId: string): void {
    this.#openedAt.delete(serverId);
  }

  /** @param health undefined for a server that was given up. */
  of(serverId: string, health: HealthSnapshot | undefined): McpCircuit {
    const failures = health?.consecutiveFailures ?? 0;
    if (health && health.status !== "unhealthy") return { state: "closed", failures };
    const since = this.#openedAt.get(serverId);
    const state = (health?.consecutiveSuccesses ?? 0) > 0 ? "half-open" : "open";
    return { state, failures, ...(since !== undefined && { since }) };
  }
}
