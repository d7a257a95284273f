import type { Aggregate, Aggregator, ServerResult } from "../contracts/aggregator.ts";

/** What one member of a broadcast does. Never rejects. */
export type Member<T> = (serverId: string, signal: AbortSignal) => Promise<ServerResult<T>>;

export interface BroadcastPlan<T> {
  readonly serverIds: readonly string[];
  readonly concurrency: number;
  readonly signal: AbortSignal | undefined;
  readonly aggregator: Aggregator;
  readonly key: (value: T) => string;
  readonly succeeded: (result: ServerResult<T>) => boolean;
  /** Cancel those that the aggregator does not wait for. Otherwise every member is asked and ends. */
  readonly cancels: boolean;
  readonly member: Member<T>;
}

/** Asks many servers, a bounded number at a time, and lets the aggregator make one result of what arrives. */
export async function broadcast<T>(plan: BroadcastPlan<T>): Promise<Aggregate<T>> {
  const stop = new AbortController();
  const signal = plan.signal ? AbortSignal.any([plan.signal, stop.signal]) : stop.signal;
  const arrivals = new Arrivals<T>(plan.serverIds.length);
  const queue = plan.serverIds.values();
  const arrived: ServerResult<T>[] = [];

  async function work(): Promise<void> {
    for (const serverId of queue) {
      if (stop.signal.aborted) return;
      const result = await plan.member(serverId, signal);
      arrived.push(result);
      arrivals.push(result);
    }
  }

  const workers = Array.from({ length: Math.min(plan.concurrency, plan.serverIds.length) }, work);
  try {
    const aggregate = await plan.aggregator.aggregate(arrivals, {
      servers: plan.serverIds.length,
      key: plan.key,
      succeeded: plan.succeeded,
    });
    if (!plan.cancels) await Promise.all(workers);
    const results = plan.cancels ? aggregate.results : arrived;
    const order = new Map(plan.serverIds.map((serverId, index) => [serverId, index]));
    const place = (result: ServerResult<T>) => order.get(result.serverId) ?? 0;
    return { ...aggregate, results: results.toSorted((a, b) => place(a) - place(b)) };
  } finally {
    if (plan.cancels) stop.abort();
    await Promise.all(workers);
  }
}

/** Results in the order in which they arrive. */
class Arrivals<T> implements AsyncIterable<ServerResult<T>> {
  #expected: number;
  readonly #ready: ServerResult<T>[] = [];
  #wake: (() => void) | undefined;

  constructor(expected: number) {
    this.#expected = expected;
  }

  push(result: ServerResult<T>): void {
    this.#ready.push(result);
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ServerResult<T>> {
    while (this.#expected > 0) {
      const result = this.#ready.shift();
      if (result) {
        this.#expected--;
        yield result;
      } else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
