import type { Failure } from "./failure.ts";
import type { RequestTraits } from "./request-traits.ts";
import type { ServerView } from "./selector.ts";
import type { Caller, MaybePromise, Wire } from "./wire.ts";

/**
 * Allows, denies or changes a call before it leaves, and sees how it ended: read-only mode, path rules, audit.
 *
 * Policies run in the order of the configuration; traits are taken anew whenever one of them changes the request. A
 * rule about single servers belongs in `allows`: it removes the server from the candidates, where a denial in
 * `before` would fail the whole call.
 */
export interface Policy<W extends Wire = Wire> {
  before?(call: PolicyCall<W>): MaybePromise<Ruling<W>>;
  allows?(call: PolicyCall<W>, server: ServerView): boolean;
  after?(call: PolicyCall<W>, result: PolicyResult): void;
  /** Asked before a caller changes the servers of the pool. Denying it leaves everything as it is. */
  beforeChange?(change: ServersChange): MaybePromise<undefined | { readonly deny: string }>;
  /** Told how such a change ended. @param failure what it failed with, if it did. */
  afterChange?(change: ServersChange, failure?: unknown): void;
}

/** A change of the servers of a pool, asked for at run time. */
export interface ServersChange {
  readonly pool: string;
  readonly action: "add" | "update" | "remove" | "activate";
  /** Absent where the active server is cleared. */
  readonly serverId?: string;
  readonly caller: Caller;
  /** The fields concerned as they were: empty for `add`. Secrets read `[secret]`. */
  readonly from: Readonly<Record<string, unknown>>;
  /** The same fields as they are to be, and after the change as they are; null for one that was taken away. */
  readonly to: Readonly<Record<string, unknown>>;
}

export interface PolicyCall<W extends Wire = Wire> {
  readonly pool: string;
  readonly request: W["request"];
  /** Traits of `request` as it is now. */
  readonly traits: RequestTraits;
  readonly caller: Caller;
}

/**
 * Nothing: let it pass. `deny`: the reason, shown to the caller. `request`: go on with this one instead. Anything else,
 * as well as what `before` throws, fails the call with `POLICY_FAILED`; errors that are davpool's own stay as they are. No
 * answer within the call's deadline fails it with `DEADLINE_EXCEEDED`.
 */
export type Ruling<W extends Wire = Wire> = undefined | { readonly deny: string } | { readonly request: W["request"] };

export interface PolicyResult {
  readonly serverId?: string;
  /** Milliseconds of the whole call. */
  readonly latency: number;
  readonly failure?: Failure;
  /** How the server said no, where it answered and did not do it: see {@link Transport.refusal}. */
  readonly refusal?: string | number;
}
