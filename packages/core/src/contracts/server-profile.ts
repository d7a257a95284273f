/**
 * What every transport's servers have in common. Names, units and defaults are those of the server profile that
 * operators write; a transport extends this with its own fields (`url`, `username`, …).
 */
export interface ServerProfile {
  /** `[A-Za-z0-9][A-Za-z0-9_.-]{0,31}`, without a double underscore; unique in its pool. */
  readonly serverId: string;
  /** Tier of the server, 1 is the highest. Default 1. */
  readonly priority: number;
  /** Name under which `broadcast` addresses this server together with others. */
  readonly group?: string;
  /** Share of requests among servers of one tier, for strategies that weigh servers. Default 1. */
  readonly weight: number;
  /** Attempts in flight at one time, a hard cap. Default 10. */
  readonly maxConnections: number;
  /** Milliseconds one attempt may take. Default 30,000. */
  readonly timeout: number;
  /** Further attempts of a call after the first, all servers together. Default 3. */
  readonly retryAttempts: number;
  /** Seconds between two health checks. Default 60; 0 switches them off for this server. */
  readonly healthCheckInterval: number;
  /** A disabled server keeps its profile and takes no request. Default true. */
  readonly enabled: boolean;
}

/**
 * Who put a server into the pool. `declared`: the operator, in the configuration file or the environment; trusted
 * and not removable at run time. `added`: a caller, at run time; untrusted input, kept in the profile store.
 */
export type ServerOrigin = "declared" | "added";
