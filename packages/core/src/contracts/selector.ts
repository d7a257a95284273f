import type { Failure } from "./failure.ts";
import type { RequestTraits } from "./request-traits.ts";

/** `degraded` still takes requests; `unhealthy` is left out until it has recovered. */
export type HealthState = "healthy" | "degraded" | "unhealthy";

/** A server as a selector and a policy see it. The object is live: its fields change while it is held. */
export interface ServerView {
  readonly serverId: string;
  readonly priority: number;
  readonly group: string | undefined;
  readonly health: HealthState;
  readonly enabled: boolean;
  /** Attempts that hold a slot now, including those whose body still flows. */
  readonly inFlight: number;
  readonly maxConnections: number;
  /** Share of requests for strategies that weigh servers; above 0, only the proportion counts. */
  readonly weight: number;
}

/**
 * Picks one server out of those that may take a request.
 *
 * `select` runs for every attempt that has a choice: synchronous, without allocation, without I/O. There are at least two
 * candidates, each with a free slot, in the order in which the servers joined the pool. Keep state in a `Map` by `serverId`
 * and drop it in `forget`.
 *
 * @example
 * ```ts
 * export const first = definePlugin({
 *   kind: "selector",
 *   name: "first",
 *   create: () => ({ select: (candidates) => candidates[0] }),
 * });
 * ```
 */
export interface Selector {
  select(candidates: readonly [ServerView, ...ServerView[]], traits: RequestTraits): ServerView;
  /** Told how every attempt ended, and every health probe as well; never about a server after it was forgotten. */
  observe?(server: ServerView, observation: Observation): void;
  /** The server left the pool. */
  forget?(serverId: string): void;
}

export interface Observation {
  /**
   * Milliseconds from the start of the attempt to the answer's headers, or to its failure. For a cancelled attempt
   * this is only a lower bound of what it would have taken.
   */
  readonly latency: number;
  /** `failure`: the server or its connection failed. `cancelled`: the caller, or the request itself, ended it. */
  readonly end: "answer" | "failure" | "cancelled";
  readonly failure?: Failure;
}
