import type { Clock } from "./clock.ts";
import type { Credentials } from "./credential-source.ts";
import type { Failure } from "./failure.ts";
import type { ServerOrigin } from "./server-profile.ts";
import type { Caller, Wire } from "./wire.ts";

/** What a transport is given to open a {@link Connection}. */
export interface ConnectInit {
  /** The partition this connection serves, as {@link Transport.partition} named it; `""` where it keeps nobody apart. */
  readonly partition: string;
  /** For every request of this connection, and for no other: principals with others have connections of their own. */
  readonly credentials: Credentials | undefined;
  readonly origin: ServerOrigin;
  /** The pool's own signal, never one caller's: a connection outlives the call that opened it. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /**
   * Call when the connection finds out outside of an attempt that the server is not well, such as a process that does not
   * start again: its next check then comes soon. Other callers than the engine need not give it.
   */
  readonly troubled?: () => void;
}

/**
 * A live relation to one server for one partition; it may hold many sockets. The engine opens one on first use,
 * shares it between concurrent attempts, and disposes of it when the server leaves the pool or its address or
 * credentials change, or when it was one partition's and that has not been used for some time.
 */
export interface Connection<W extends Wire = Wire> extends AsyncDisposable {
  /**
   * Sends one request. Settles as soon as the outcome is known: for HTTP when the headers have arrived. A response
   * whose body is still flowing takes a {@link Attempt.hold} first.
   *
   * Must call {@link Attempt.sent} before the first byte leaves, must stop when {@link Attempt.signal} aborts, and
   * rejects with whatever {@link Transport.explain} understands. A response that reports a failure (503) resolves.
   */
  send(request: W["request"], attempt: Attempt): Promise<W["response"]>;
  /**
   * Rejects when the server is not well. Resolves otherwise: to one line about what an operator should put right, if the
   * server answers and something is wrong all the same. Takes no slot of the pool's limits.
   * @throws CredentialsRefusedError when the server refuses the credentials it was asked with. It then leaves the
   * rotation, and is asked again only when they change or after minutes.
   */
  probe(signal: AbortSignal): Promise<string | void>;
  /** True socket counts, cheap enough to be read often. */
  stats(): ConnectionStats;
  /**
   * Holds what cannot be made anew, such as the state of a session: it is kept until its caller is released, however long
   * nobody uses it and however many there are. Read whenever it might be closed, so it may change.
   */
  readonly lasting?: boolean;
}

export interface ConnectionStats {
  /** Sockets that carry a request now. */
  readonly active: number;
  /** Open sockets that carry none. */
  readonly idle: number;
  /** The most sockets that may be open at once. */
  readonly max: number;
}

/** The engine's side of one attempt, handed to {@link Connection.send}. */
export interface Attempt {
  readonly serverId: string;
  /** 1 for the first attempt of a call. */
  readonly ordinal: number;
  readonly caller: Caller;
  /** Aborts when the attempt's time is up, the caller has gone or the pool closes; `reason` says which. */
  readonly signal: AbortSignal;
  /** Call before the first byte leaves. Error codes cannot tell afterwards whether anything was sent. */
  sent(): void;
  /**
   * Call when bytes moved in either direction. A transfer at or above the pool's minimum rate is not cut off by the
   * attempt's timeout; a stalled one is.
   */
  progress(bytes: number): void;
  /**
   * Keeps the attempt's slot and in-flight count after `send` has settled, for a body that still flows.
   * @returns call it once when the body has ended, with the failure if it broke.
   */
  hold(): (failure?: Failure) => void;
  /** True when the response goes to a caller who reads the body later: if it breaks, nobody else can mend it. */
  readonly streamed: boolean;
  /**
   * Asks whether the connection may fetch the rest of a streamed body that broke off, from the same server and under
   * the same hold. Granted like a retry: within `retryAttempts`, charged to the budget, and listed among the attempts.
   */
  resume(failure: Failure): boolean;
  /**
   * The server waits for the caller: the attempt's time stands still until this is disposed of; the call's deadline does
   * not. Several waits may overlap. Every attempt of the engine's has it; one that a transport makes for itself, to ask
   * a server something of its own, need not.
   */
  wait?(): Disposable;
}
