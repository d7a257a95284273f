import type { Aggregate, Aggregator, Quorum } from "./aggregator.ts";
import type { ConnectionStats } from "./connection.ts";
import type { AttemptRecord } from "./failover-policy.ts";
import type { Failure } from "./failure.ts";
import type { EnabledOverride, HealthSnapshot, RequestCounters } from "./profile-store.ts";
import type { HealthState } from "./selector.ts";
import type { ServerOrigin } from "./server-profile.ts";
import type { Caller, Wire } from "./wire.ts";

/**
 * Several interchangeable servers behind one transport that behave as one server.
 *
 * Every call settles by its deadline. Close the pool with `close()` or `await using`.
 */
export interface Pool<W extends Wire = Wire> extends AsyncDisposable {
  readonly name: string;

  /**
   * Runs a request on one server, moving to others where the failover policy says so.
   *
   * Without `consume` the response is handed over as soon as its headers are there and its body must be read or
   * discarded by the caller. With `consume` the response is read inside the attempt, so an answer that breaks off
   * midway may still come from another server.
   *
   * @throws UnknownServerError, ServerDisabledError, AffinityUnknownError, AffinityConflictError, PolicyDeniedError,
   * PolicyFailedError, NoCredentialsError: nothing was sent.
   * @throws AffinityUnavailableError when the only server that can take the request gave no answer.
   * @throws PoolExhaustedError when the queue for a slot is full or its time limit has passed.
   * @throws NoServerAvailableError when no server could be reached; lists every server's state.
   * @throws OutcomeUnknownError when a request that must not be repeated may have been carried out.
   * @throws AnswerIncompleteError when such a request was answered, and `consume` failed for want of the whole answer.
   * @throws DeadlineExceededError, CallCancelledError, PoolClosedError
   */
  execute(request: W["request"], options?: CallOptions): Promise<Answer<W["response"]>>;
  execute<T>(request: W["request"], options: CallOptions & { consume: Consume<W, T> }): Promise<Answer<T>>;

  /**
   * Runs a request on many servers at once, unhealthy ones included, and aggregates their answers. Each server is
   * tried by itself: there is no failover between them. A safe request is cancelled on servers that the aggregator does
   * not wait for; one that changes something ends everywhere first.
   *
   * @throws UnknownGroupError, UnknownServerError, UnknownAggregatorError, BroadcastBodyError, QuorumUnreachableError,
   * PoolClosedError: nothing was sent.
   */
  broadcast<T>(
    request: W["request"],
    options: BroadcastOptions<W, T>,
  ): Promise<Aggregate<T> & { readonly quorum?: Quorum }>;

  /**
   * Adds a server at run time: untrusted, and saved in the profile store.
   * @throws DuplicateServerError, InvalidProfileError, or what the transport refuses it for.
   */
  add(profile: ProfileInput, options?: ChangeOptions): Promise<ServerStatus>;
  /**
   * Changes a server, field by field: a change that another process makes at the same time survives. A new address or new
   * credentials reconnect it, anything else applies in place. Stored secrets do not go along to another origin: they are
   * dropped unless they are given anew. Of a declared server only `enabled` can be changed; that is kept in the store
   * until the configuration says the same.
   * @throws UnknownServerError, ServerDeclaredError, InvalidProfileError, or what the transport refuses it for.
   */
  update(serverId: string, changes: Omit<ProfileInput, "serverId">, options?: ChangeOptions): Promise<UpdatedServer>;
  /**
   * Takes a server out. Requests in flight drain to their deadline.
   * @throws ServerDeclaredError for one that the configuration declares.
   */
  remove(serverId: string, options?: ChangeOptions): Promise<RemovedServer>;
  /** Prefers one server before all tiers, until cleared with `null`. Survives a restart. */
  activate(serverId: string | null, options?: ChangeOptions): Promise<ActiveServerChange>;
  /** Replaces the declared servers, after the configuration changed. Unchanged ones keep their connections. */
  apply(declared: readonly ProfileInput[]): Promise<void>;

  list(): readonly ServerStatus[];
  /** The server that a call without wishes would prefer now: the active one, or the best tier's first. */
  readonly preferredServerId: string | undefined;
  stats(): PoolStats;

  on<K extends keyof PoolEvents>(event: K, listener: (detail: PoolEvents[K]) => void): Disposable;

  /**
   * Ends the connections that were kept for this caller alone, once their attempts have ended: for hosts whose session
   * has ended. Such connections last until then, or until their server changes or leaves; a pool that gets other settings
   * begins with new ones. Without effect on connections that the caller shares with others. Never rejects.
   * @param caller as it was given with the calls.
   */
  release(caller: Caller): Promise<void>;

  /**
   * Takes no more calls, lets those in flight end, then closes every connection.
   * @param drain milliseconds to wait for calls in flight. Default 5,000.
   */
  close(options?: { readonly drain?: number }): Promise<void>;
}

export interface CallOptions {
  /** Only this server, healthy or not. */
  readonly serverId?: string;
  readonly signal?: AbortSignal;
  /** Milliseconds from now within which the call settles. Default: the pool's. */
  readonly deadline?: number;
  readonly caller?: Caller;
}

/** Turns a response into the call's value, inside the attempt. Throwing fails the attempt. */
export type Consume<W extends Wire, T> = (
  response: W["response"],
  attempt: { readonly serverId: string; readonly signal: AbortSignal },
) => Promise<T>;

export interface Answer<T> {
  readonly value: T;
  /** The server that gave it. */
  readonly serverId: string;
  /** Every attempt, oldest first; the last one gave the answer. */
  readonly attempts: readonly AttemptRecord[];
}

export interface BroadcastOptions<W extends Wire, T> extends Omit<CallOptions, "serverId"> {
  /** Every enabled server of this group. Without this and `serverIds`: every enabled server. */
  readonly serverGroup?: string;
  readonly serverIds?: readonly string[];
  readonly consume: Consume<W, T>;
  /** By name, or as a value. Default: the pool's. */
  readonly aggregator?: string | Aggregator;
  /**
   * How many servers must succeed for the whole to count as a success; `QUORUM_UNREACHABLE`, before anything is sent, when
   * it is more than are asked. Without it the answer has no `quorum`, and the whole counts as a success if all of them do.
   */
  readonly quorum?: number;
  /** What a success is. Default: any answer that reports no failure of its server. */
  readonly succeeded?: (value: T) => boolean;
  /** What makes two answers equal. Default: their JSON. */
  readonly key?: (value: T) => string;
}

/** A profile as people write it: `serverId`, the transport's required fields, and whatever should not be default. */
export interface ProfileInput {
  readonly serverId: string;
  readonly [field: string]: unknown;
}

export interface ServerStatus {
  readonly serverId: string;
  /** The whole profile without its secret fields. */
  readonly profile: Readonly<Record<string, unknown>>;
  readonly origin: ServerOrigin;
  readonly enabled: boolean;
  /** Present where a caller enabled or disabled a declared server against what the configuration says. */
  readonly override?: EnabledOverride;
  readonly priority: number;
  readonly group: string | undefined;
  readonly health: HealthSnapshot;
  readonly connections: ConnectionStats;
  /** Attempts in flight. */
  readonly inFlight: number;
  /** Attempts since start, and how many of them failed. */
  readonly attempts: { readonly total: number; readonly failed: number };
}

export interface UpdatedServer extends ServerStatus {
  /** Secret fields that were dropped because the server has another origin now. */
  readonly droppedSecrets: readonly string[];
}

/** Who changes the servers of a pool, for log and policies. */
export interface ChangeOptions {
  readonly caller?: Caller;
}

export interface RemovedServer {
  readonly serverId: string;
  /** True when it was the active server; the pool then balances again. */
  readonly wasActive: boolean;
  /** The server preferred from now on. */
  readonly preferredServerId: string | undefined;
  /**
   * Keys of the affinity store that mean nothing any more, such as locks that were held there. Those of principals with
   * credentials of their own begin with the principal's name in quotes.
   */
  readonly lost: readonly string[];
}

export interface ActiveServerChange {
  readonly previousServerId: string | undefined;
  readonly activeServerId: string | undefined;
}

export interface PoolStats {
  readonly totalServers: number;
  /** Degraded servers count as healthy here: they take requests. */
  readonly healthyServers: number;
  readonly unhealthyServers: number;
  readonly totalConnections: ConnectionStats;
  readonly requestStats: Omit<RequestCounters, "responseTimeSum">;
  /** Milliseconds, over all successful calls. */
  readonly averageResponseTime: number;
}

/** What a pool tells its listeners. A listener that throws is logged and disturbs nobody. */
export interface PoolEvents {
  "server-healthy": HealthChange;
  "server-degraded": HealthChange;
  "server-unhealthy": HealthChange;
  /** Failed requests, not checks, took a server out of rotation. */
  "server-ejected": HealthChange;
  /** A server that was unhealthy takes requests again. */
  recovered: { readonly serverId: string };
  /** A call moves on from one server to another. */
  failover: {
    readonly from: string;
    readonly to: string;
    readonly operation: string;
    readonly failure: Failure;
  };
  /** No enabled server is usable any more. */
  "all-down": { readonly servers: readonly string[] };
  "servers-changed": { readonly serverId: string; readonly change: "added" | "updated" | "removed" };
  "active-changed": ActiveServerChange;
}

export interface HealthChange {
  readonly serverId: string;
  readonly previous: HealthState;
  /** Why, in one line, when something failed. */
  readonly reason?: string;
}
