import type { HedgingSettings } from "../config/resolve-config.ts";

/** Latest answers that count, and how many there must be before anything is said. */
const WINDOW = 256;
const ENOUGH = 32;

/**
 * Knows how long an answer usually takes: the chosen percentile of the latest safe requests of the pool. A request that
 * takes longer may be sent to a second server.
 */
export class Hedging {
  readonly #settings: HedgingSettings;
  readonly #latencies = new Float64Array(WINDOW);
  #count = 0;
  #after: number | undefined;

  constructor(settings: HedgingSettings) {
    this.#settings = settings;
  }

  /** Milliseconds after which to hedge; undefined while too little is known. */
  get after(): number | undefined {
    return this.#after;
  }

  /** A safe request was answered after `latency` milliseconds. */
  answered(latency: number): void {
    this.#latencies[this.#count++ % WINDOW] = latency;
    if (this.#count % ENOUGH !== 0) return;
    const known = this.#latencies.subarray(0, Math.min(this.#count, WINDOW)).toSorted();
    const usual = known[Math.ceil(this.#settings.percentile * known.length) - 1] ?? 0;
    this.#after = Math.max(usual, this.#settings.least);
  }
}

/**
 * The first of two attempts that is an answer; the other one is stopped. If neither is, what the last one says, so that
 * the call goes on from there.
 */
export async function firstAnswer<S>(
  attempts: readonly [Promise<S>, Promise<S>],
  isAnswer: (settled: S) => boolean,
  stop: (index: number) => void,
): Promise<S> {
  const answers = attempts.map(async (attempt, index) => {
    const settled = await attempt;
    if (!isAnswer(settled)) throw new NoAnswer(settled);
    return { settled, index };
  });
  try {
    const { settled, index } = await Promise.any(answers);
    stop(1 - index);
    // It ends at once when it is stopped; then everything about the call is known.
    await Promise.allSettled(answers);
    return settled;
  } catch (error) {
    const failures = (error as AggregateError).errors as readonly unknown[];
    for (const failure of failures) if (failure instanceof NoAnswer) return failure.settled as S;
    throw failures.at(-1);
  }
}

class NoAnswer {
  readonly settled: unknown;

  constructor(settled: unknown) {
    this.settled = settled;
  }
}
