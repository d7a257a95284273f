import type { Clock } from "./clock.ts";
import type { ServerProfile } from "./server-profile.ts";

/**
 * Asks one server whether it is well. The engine decides when to ask, limits how often, and turns results into a
 * state by counting; a probe only reports what it saw, once.
 */
export interface HealthProbe {
  /**
   * @param signal aborts when the probe has taken too long; a probe that is aborted counts as failed.
   * @returns never rejects: a server that does not answer is the result `failed`. What is no result counts as failed too,
   * and is logged once.
   */
  probe(target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult>;
}

export interface ProbeTarget {
  readonly profile: ServerProfile;
  readonly clock: Clock;
  /**
   * The transport's own check (OPTIONS or PROPFIND for WebDAV). Rejects when the server is not well; resolves to what is
   * wrong with one that answers all the same, if anything is.
   */
  ping(signal: AbortSignal): Promise<string | void>;
}

export interface ProbeResult {
  readonly state: "healthy" | "degraded" | "failed";
  /** Milliseconds. */
  readonly latency: number;
  readonly cause?: unknown;
}
