import type { FaultTurns } from "./turns.ts";

/** Which requests a fault meets. Without any of these, all of them. */
export interface FaultFilter extends FaultTurns {
  /** Methods, in any case. Default: all. */
  readonly methods?: readonly string[];
  /** A decoded path relative to the base: exact, or with a trailing `*` a prefix (`/folder/*`). Default: all. */
  readonly path?: string;
}

/** Connections are refused: nothing listens while the fault is on, and open connections are destroyed. */
export interface RefuseFault {
  readonly kind: "refuse";
}

/**
 * Whoever connects gets no reply, neither acceptance nor refusal, while the fault is on; open connections are
 * destroyed. Needs Linux.
 */
export interface ConnectTimeoutFault {
  readonly kind: "connect-timeout";
}

/** The connection is reset (TCP RST). */
export interface ResetFault extends FaultFilter {
  readonly kind: "reset";
  /**
   * - `before-body`: when the request's headers have been read;
   * - `mid-request`: when `afterBytes` of the request's body have arrived;
   * - `after-request`: when the whole request has arrived and before anything is answered;
   * - `mid-body`: when the answer's headers and `afterBytes` of its body have been sent.
   */
  readonly when: "before-body" | "mid-request" | "after-request" | "mid-body";
  /** Bytes of the body in question. Default 0. A shorter body is received or sent whole, then comes the reset. */
  readonly afterBytes?: number;
  /**
   * For `after-request`: whether the request takes effect, so that only its answer is lost. Default false: the
   * request is lost. (`mid-body` has always taken effect, the other two never.)
   */
  readonly applied?: boolean;
}

/** The answer comes late. */
export interface DelayFault extends FaultFilter {
  readonly kind: "delay";
  /** Milliseconds on the server's clock. `Infinity` holds the answer until the fault is switched off. */
  readonly ms: number;
  /**
   * Whether the request takes effect before the delay. Default false: it does so after the delay, and not at all if
   * the client has left by then.
   */
  readonly applied?: boolean;
}

/** The request is read and never answered. Switching the fault off destroys the connections it holds. */
export interface BlackholeFault extends FaultFilter {
  readonly kind: "blackhole";
  /** Whether the request takes effect all the same. Default false. */
  readonly applied?: boolean;
}

/** The request is read and answered with this. */
export interface StatusFault extends FaultFilter {
  readonly kind: "status";
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default empty. */
  readonly body?: string | Uint8Array;
  /** Whether the request takes effect all the same, as behind a gateway that has given up. Default false. */
  readonly applied?: boolean;
}

/** The answer breaks off: the connection is closed in the midst of its body. */
export interface TruncateFault extends FaultFilter {
  readonly kind: "truncate";
  /** Bytes of the body that are sent. An answer whose body is no longer than this arrives whole. */
  readonly afterBytes: number;
  /** Sends a chunked body without its end, instead of announcing the full `Content-Length`. Default false. */
  readonly chunked?: boolean;
  /**
   * Announces neither a length nor chunks: the body ends where the connection does, and nothing tells the client that
   * some of it is missing. Default false.
   */
  readonly untilClose?: boolean;
}

/** The answer's status line and headers trickle; then the body comes at once, and the connection is closed. */
export interface SlowHeadersFault extends FaultFilter {
  readonly kind: "slow-headers";
  /** On the server's clock. */
  readonly bytesPerSecond: number;
  /** Bytes sent at a time. Default: a tenth of a second's worth, at least 1. */
  readonly chunkBytes?: number;
}

/**
 * Connections that are kept alive are closed without notice. Meets requests on a connection that has brought one
 * before: it is closed when they arrive, and they are lost.
 */
export interface StaleKeepAliveFault extends FaultFilter {
  readonly kind: "stale-keep-alive";
  /**
   * Closes each connection instead once it has been idle for so many milliseconds on the server's clock after a
   * request that the fault has met; any request, then. No header announces it, unlike `keepAliveTimeout`.
   */
  readonly idleMs?: number;
}

/** The answer's body trickles. */
export interface SlowBodyFault extends FaultFilter {
  readonly kind: "slow-body";
  /** On the server's clock. */
  readonly bytesPerSecond: number;
  /** Bytes sent at a time. Default: a tenth of a second's worth, at least 1. */
  readonly chunkBytes?: number;
}

/** Faults that meet single requests. */
export type RequestFault =
  | ResetFault
  | DelayFault
  | BlackholeFault
  | StatusFault
  | TruncateFault
  | SlowHeadersFault
  | SlowBodyFault
  | StaleKeepAliveFault;

/** Faults of the server as a whole. */
export type ListenerFault = RefuseFault | ConnectTimeoutFault;

/** Anything that can be switched on with {@link WebDavServer.inject}. */
export type Fault = RequestFault | ListenerFault;

export type FaultKind = Fault["kind"];

/** A fault that has been switched on: of a server, or of a {@link FaultProxy}. */
export interface ActiveFault<F = Fault> extends AsyncDisposable {
  readonly fault: F;
  /**
   * Requests (of a proxy: connections) it has met. Stays 0 for `refuse` and `connect-timeout`: a connection that does
   * not come about is never seen.
   */
  readonly hits: number;
  /** Resolves when it has met at least `count` (default 1). */
  met(count?: number): Promise<void>;
  /** Switches it off; resolves when the server behaves again. Doing so twice does no harm. */
  off(): Promise<void>;
}
