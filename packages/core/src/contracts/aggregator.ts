import type { Failure } from "./failure.ts";

/**
 * Makes one result out of the answers of many servers.
 *
 * `arrivals` yields in the order in which servers answer. Returning before it is exhausted cancels the rest
 * of a safe request; one that changes something is carried out everywhere all the same.
 */
export interface Aggregator {
  aggregate<T>(arrivals: AsyncIterable<ServerResult<T>>, context: AggregateContext<T>): Promise<Aggregate<T>>;
}

export interface AggregateContext<T> {
  /** How many servers were asked. */
  readonly servers: number;
  /** What makes two answers equal. */
  readonly key: (value: T) => string;
  /** What the caller calls a success: an answer, and by default one that reports no failure. */
  readonly succeeded: (result: ServerResult<T>) => boolean;
}

export type ServerResult<T> =
  | {
      readonly serverId: string;
      readonly ok: true;
      readonly value: T;
      /** Set when the answer itself reports a failure, such as a 503. */
      readonly failure?: Failure;
    }
  | { readonly serverId: string; readonly ok: false; readonly failure: Failure };

export interface Aggregate<T> {
  /** The one answer, for aggregators that choose one. */
  readonly value?: T;
  /** The servers that `value` stands for. */
  readonly from: readonly string[];
  /** Servers whose answer differs from `value`, where answers were compared. */
  readonly dissenters: readonly string[];
  /**
   * Everything that arrived before the aggregator returned, in the order in which the servers were named, or in which they
   * joined the pool.
   */
  readonly results: readonly ServerResult<T>[];
}

/** Whether as many servers succeeded as a caller asked for. */
export interface Quorum {
  readonly required: number;
  readonly succeeded: number;
  readonly met: boolean;
}
