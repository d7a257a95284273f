import { fairShare } from "./holdings.ts";

/** Calls whose retries the budget allows from the start, even in a small pool. */
const LEAST_CAPACITY = 30;

/**
 * One bucket for all charged retries of a pool: every call puts a share in, every charged retry takes one out. An
 * outage that fails everything can therefore not multiply its own traffic. No principal can take more out than its share:
 * what one caller's failures cost is not paid by the others.
 */
export class RetryBudget {
  readonly #share: number;
  #capacity = LEAST_CAPACITY;
  #tokens = LEAST_CAPACITY;
  /** What each principal has taken out and not put in again. */
  readonly #debts = new Map<string, number>();

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

  deposit(principal?: string): void {
    this.#tokens = Math.min(this.#capacity, this.#tokens + this.#share);
    if (this.#debts.size === 0) return;
    // Nobody lacks what others took.
    if (this.#tokens === this.#capacity) this.#debts.clear();
    else if (principal !== undefined) this.#owe(principal, -this.#share);
  }

  /** False when the budget, or this principal's share of it, is spent. */
  withdraw(principal?: string): boolean {
    if (this.#share === 0 || this.#tokens < 1) return false;
    if (principal !== undefined) {
      if ((this.#debts.get(principal) ?? 0) + 1 > fairShare(this.#capacity)) return false;
      this.#owe(principal, 1);
    }
    this.#tokens--;
    return true;
  }

  #owe(principal: string, more: number): void {
    const debt = (this.#debts.get(principal) ?? 0) + more;
    if (debt > 0) this.#debts.set(principal, debt);
    else this.#debts.delete(principal);
  }
}
