/**
 * Why an attempt did not succeed, in the only words the engine and the failover policy know.
 *
 * - `unsent`: nothing reached the server (refused, DNS, TLS, connect timeout). Safe to send elsewhere, whatever it is.
 * - `broken`: the connection ended after the request may have been sent and before the answer was complete.
 * - `timeout`: the attempt's time ran out after the request may have been sent.
 * - `overload`: the server answered that it is busy (HTTP 429, 503).
 * - `unavailable`: the server answered that it cannot (HTTP 500, 502, 504).
 * - `rejected`: the server answered with a client error that counts against its health when repeated (HTTP 408).
 * - `refused`: the server refused the credentials that the request carried (HTTP 401). Nothing was done, so any request
 *   may go to another server.
 * - `cancelled`: the caller went away. Says nothing about the server.
 * - `invalid`: the request could not be formed (a path outside the server's base). Says nothing about the server.
 */
export type FailureKind =
  | "unsent"
  | "broken"
  | "timeout"
  | "overload"
  | "unavailable"
  | "rejected"
  | "refused"
  | "cancelled"
  | "invalid";

export interface Failure {
  readonly kind: FailureKind;
  /**
   * What the failure speaks about: only `server` counts against a server's health. `repetition` does so when it comes
   * several times in a row (408, 429, a broken connection). `connection` is one lost connection among several of a healthy server;
   * `request` and `caller` speak about neither.
   */
  readonly blame: "server" | "repetition" | "connection" | "request" | "caller";
  /** One line for an operator, free of secrets. */
  readonly message: string;
  /** Milliseconds the server asked to be left alone for (`Retry-After`), not yet clamped. */
  readonly retryAfter?: number;
  /**
   * An answer that leaves open whether the work was done, such as a gateway's 502 or 504. A request that is not safe is
   * then treated as one whose answer was lost: a repeat that finds the work done is verified.
   */
  readonly mayBeDone?: boolean;
  /** Protocol or system code such as `ECONNREFUSED` or `503`. */
  readonly code?: string | number;
  readonly cause?: unknown;
}
