import type { Clock } from "@davpool/core";

export interface BatchOptions {
  /** Requests with which a batch leaves at once. */
  readonly size: number;
  /** Milliseconds after its first request with which it leaves in any case. */
  readonly delay: number;
}

export interface BatchStats {
  /** Batches that have left. */
  readonly batches: number;
  /** Requests in them; those that were identical to one of them count once. */
  readonly requests: number;
}

interface Batch {
  readonly starts: (() => void)[];
  readonly timer: Disposable;
}

/**
 * Holds requests back for a moment, so that those of one kind leave together. One timer for each batch, however many are
 * in it.
 */
export class Batches {
  readonly #options: BatchOptions;
  readonly #clock: Clock;
  readonly #open = new Map<string, Batch>();
  #batches = 0;
  #closed = false;
  #requests = 0;

  constructor(options: BatchOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  get stats(): BatchStats {
    return { batches: this.#batches, requests: this.#requests };
  }

  /** @param start called when the batch leaves. */
  add(kind: string, start: () => void): void {
    const { size, delay } = this.#options;
    let batch = this.#open.get(kind);
    if (!batch) {
      batch = { starts: [], timer: this.#clock.after(delay, () => this.#leave(kind)) };
      this.#open.set(kind, batch);
    }
    batch.starts.push(start);
    if (batch.starts.length >= size || this.#closed) this.#leave(kind);
  }

  /** Has everything leave that is held back; from now on nothing is. */
  close(): void {
    this.#closed = true;
    for (const kind of this.#open.keys()) this.#leave(kind);
  }

  #leave(kind: string): void {
    const batch = this.#open.get(kind);
    if (!batch) return;
    batch.timer[Symbol.dispose]();
    this.#open.delete(kind);
    this.#batches++;
    this.#requests += batch.starts.length;
    for (const start of batch.starts) start();
  }
}
