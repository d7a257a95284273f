import {
  describeError,
  type Pool,
  type ProfileStore,
  type RequestCounters,
  type ResolvedPool,
  type ServerStatus,
  type StoredHealth,
  type StoredState,
} from "@davpool/core";
import { Checks, type Check } from "./checks.ts";
import { readOnly } from "./read-only-store.ts";
import type { PoolReport, RequestsReport, ServerReport } from "./report.ts";

/**
 * One pool, opened to be looked at: it changes nothing, tells nobody, and checks every server at once and then at the
 * pace of whoever looks. One check decides what a server is shown as.
 */
export class PoolLook {
  readonly settings: ResolvedPool;
  readonly #checks = new Checks();
  #store: ProfileStore | undefined;
  #state: StoredState | undefined;

  /** @param interval milliseconds between two checks of a server. */
  constructor(settings: ResolvedPool, interval: number) {
    const paced = <P extends object>(profile: P) => ({ ...profile, healthCheckInterval: interval / 1_000 });
    this.settings = {
      ...settings,
      notifiers: [],
      policies: [],
      health: { ...settings.health, enabled: true, failures: 1, successes: 1, recoveryInterval: interval },
      probe: this.#checks.noting(settings.probe),
      store: readOnly(settings.store, {
        opened: (store) => void (this.#store = store),
        loaded: (state) => {
          this.#state = state;
          return {
            ...state,
            servers: state.servers.map((server) => ({ ...server, profile: paced(server.profile) })),
          };
        },
      }),
      servers: settings.servers.map(paced),
    };
  }

  /** Resolves when every server has been checked, or the signal aborts. */
  async checked(pool: Pool, signal: AbortSignal): Promise<void> {
    const enabled = pool.list().filter((server) => server.enabled);
    await this.#checks.all(
      enabled.map((server) => server.serverId),
      signal,
    );
    // The pool has counted what its probes reported by the next turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
  }

  async report(pool: Pool): Promise<PoolReport> {
    const recorded = await this.#recorded();
    const servers = pool.list().map((status) => this.#server(status, recorded));
    const usable = servers.filter(({ health }) => health === "healthy" || health === "degraded");
    const active = this.#state?.activeServerId;
    return {
      name: pool.name,
      transport: String(this.settings.transport.plugin.name),
      strategy: String(this.settings.strategy.plugin.name),
      usable: usable.length > 0,
      activeServerId: servers.some(({ serverId }) => serverId === active) ? (active ?? null) : null,
      preferredServerId: usable.find(({ serverId }) => serverId === pool.preferredServerId)?.serverId ?? null,
      requests: recorded ? requests(recorded.counters) : null,
      servers,
    };
  }

  #server(status: ServerStatus, recorded: StoredHealth | undefined): ServerReport {
    const { serverId, profile, priority, group, origin, enabled, connections } = status;
    const check = this.#checks.of(serverId);
    const health = enabled ? (check ? status.health.status : "unknown") : "disabled";
    const record = recorded && Object.hasOwn(recorded.servers, serverId) ? recorded.servers[serverId] : undefined;
    const problem = health === "healthy" || health === "disabled" ? undefined : problemOf(check);
    return {
      serverId,
      ...(typeof profile.url === "string" && { url: profile.url }),
      priority,
      ...(group !== undefined && { group }),
      origin,
      enabled,
      health,
      ...(problem !== undefined && { problem }),
      ...(enabled && check && { checkedAt: check.at.toISOString() }),
      ...(enabled &&
        check &&
        check.state !== "failed" &&
        check.latency >= 0 && { latency: Math.round(check.latency * 10) / 10 }),
      connections,
      ...(record && { recorded: record }),
    };
  }

  /** What cannot be read is not known. */
  async #recorded(): Promise<StoredHealth | undefined> {
    try {
      return await this.#store?.loadHealth();
    } catch {
      return undefined;
    }
  }
}

function problemOf(check: Check | undefined): string {
  if (!check) return "its check has not ended";
  return check.cause === undefined ? "its check failed" : describeError(check.cause);
}

function requests({ responseTimeSum, ...counters }: RequestCounters): RequestsReport {
  const average = counters.successful === 0 ? 0 : responseTimeSum / counters.successful;
  return { ...counters, averageResponseTime: Math.round(average * 10) / 10 };
}
