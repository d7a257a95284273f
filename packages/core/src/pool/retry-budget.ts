/** Calls whose retries the budget allows from the start, even in a small pool. */
const LEAST_CAPACITY = 30;

/**
 * One bucket for all charged retries of a pool: every call puts a share in, every charged retry takes one out. An
 * outage that fails everything can therefore not multiply its own traffic.
 */
export class RetryBudget {
  readonly #share: number;
  #capacity = LEAST_CAPACITY;
  #tokens = LEAST_CAPACITY;

  /** @param share of a retry that each call puts in, such as 0.2. */
  constructor(share: number) {
    this.#share = share;
  }

  /** A burst as large as the largest server's connections may fail over at once. */
  atLeast(maxConnections: number): void {
    if (maxConnections <= this.#capacity) return;
    this.#tokens += maxConnections - this.#capacity;
    this.#capacity = maxConnections;
  }

  /** Retries that could be made now. */
  get available(): number {
    return this.#share === 0 ? 0 : Math.floor(this.#tokens);
  }

  deposit(): void {
    this.#tokens = Math.min(this.#capacity, this.#tokens + this.#share);
  }

  /** False when the budget is spent. */
  withdraw(): boolean {
    if (this.#share === 0 || this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
