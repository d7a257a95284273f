import type { Failure } from "./failure.ts";
import type { RequestTraits } from "./request-traits.ts";
import type { ServerProfile } from "./server-profile.ts";

/**
 * Decides what follows a failed attempt. Asked only after failures, so it may take its time in microseconds; it must
 * be synchronous and must not keep state about a single call: everything about the call is in the context.
 *
 * The engine holds the line below it: whatever a policy says, no call outlives its deadline or makes more than
 * `retryAttempts` further attempts, no charged retry exceeds the budget, and no `neither` request is sent twice after
 * its first byte. Then it does not ask. A policy that throws settles the call.
 */
export interface FailoverPolicy {
  decide(context: FailoverContext): FailoverDecision;
}

export interface FailoverContext {
  readonly traits: RequestTraits;
  /** Every attempt so far, oldest first; the last one has just failed. */
  readonly attempts: readonly [AttemptRecord, ...AttemptRecord[]];
  /** Milliseconds until the call's deadline. */
  readonly remaining: number;
  /** Servers that may take this request and have not been tried in this call. */
  readonly untried: number;
  /** True when the call names its server or a lock or entity tag binds it to one. */
  readonly pinned: boolean;
  /** Profile of the server that was tried first: its `retryAttempts` bounds the call. */
  readonly profile: ServerProfile;
  /** Random number in [0, 1), for jitter. */
  readonly random: () => number;
}

/**
 * `settle`: the caller gets the last answer if there was one, an error otherwise. `retry`: once more after `delay`
 * milliseconds; `on: "other"` prefers a server that was not tried yet; `charge` draws on the retry budget, and an
 * empty budget turns the retry into `settle`.
 */
export type FailoverDecision =
  | { readonly action: "settle" }
  | {
      readonly action: "retry";
      readonly on: "same" | "other";
      readonly delay: number;
      readonly charge: boolean;
      /** Servers to prefer for the next attempt, best first, before tiers and the selector have their say. */
      readonly prefer?: readonly string[];
    };

/** One attempt of a call, as policies, answers and errors report it. */
export interface AttemptRecord {
  readonly serverId: string;
  /**
   * `answered`: the server gave an answer, which may still be a 503. `failed`: it provably did nothing. `unknown`: the
   * request may have arrived and its outcome is not known.
   */
  readonly outcome: "answered" | "failed" | "unknown";
  /** Milliseconds from the start of the attempt to the answer's headers or the failure. */
  readonly latency: number;
  readonly failure?: Failure;
}
