/**
 * Told what operators want to hear of, while it happens: failovers, health, recoveries.
 *
 * `notify` is called beside requests and must return at once: what takes time, such as a webhook, goes into a bounded
 * queue of its own. One that throws is logged. What is still waiting when the pool closes may be sent in
 * `Symbol.asyncDispose`, within a few seconds.
 */
export interface Notifier {
  notify(notice: Notice): void;
}

export type NoticeKind =
  | "server-degraded"
  | "server-unhealthy"
  | "server-ejected"
  | "recovered"
  | "failover"
  | "all-down";

/** One thing that happened, as plain data without secrets. */
export interface Notice {
  readonly kind: NoticeKind;
  readonly pool: string;
  /** ISO 8601. */
  readonly at: string;
  /** The server it is about; for a failover the one that failed. */
  readonly serverId?: string;
  /** For a failover: the server that the call moved on to. */
  readonly to?: string;
  /** Why, in one line. */
  readonly reason?: string;
}
