import type { Clock } from "@davpool/core";
import type { RateLimit } from "./settings.ts";

/** Buckets that are kept at most; beyond it the one unused for longest is forgotten. */
const MOST_BUCKETS = 100_000;
/** Buckets looked at for being full again with each one counted: more than are added, so memory shrinks by itself. */
const LOOKS = 2;

/**
 * Token buckets by key. A bucket is one number, the time at which it will be full again, and a full one is as good as
 * none, so idle keys cost nothing and no timer runs.
 */
export class RateLimiter {
  readonly #clock: Clock;
  /** Milliseconds in which one token flows in. */
  readonly #interval: number;
  /** Milliseconds in which an empty bucket fills. */
  readonly #depth: number;
  /** The one used last stands last. */
  readonly #fullAt = new Map<string, number>();

  constructor({ requests, per, burst }: RateLimit, clock: Clock) {
    this.#clock = clock;
    this.#interval = per / requests;
    this.#depth = this.#interval * burst;
  }

  /** Buckets that are not full. */
  get size(): number {
    return this.#fullAt.size;
  }

  /** Milliseconds until so many more are allowed; 0 when they are now. */
  wait(key: string, count = 1): number {
    const now = this.#clock.now();
    const missing = Math.max(0, (this.#fullAt.get(key) ?? now) - now);
    const wait = missing + count * this.#interval - this.#depth;
    // What is left of a thousandth of a millisecond comes from calculating with fractions.
    return wait < 0.001 ? 0 : wait;
  }

  /**
   * Counts so many, allowed or not. A bucket that is drawn on below empty has that much longer to fill, but never longer
   * than twice its usual time.
   */
  count(key: string, count = 1): void {
    const now = this.#clock.now();
    const fullAt = Math.max(now, this.#fullAt.get(key) ?? now) + count * this.#interval;
    this.#fullAt.delete(key);
    this.#fullAt.set(key, Math.min(fullAt, now + 2 * this.#depth));
    this.#forget(now);
  }

  /** Counts so many if they are allowed, all of them. @returns milliseconds to wait if not, else 0. */
  take(key: string, count = 1): number {
    const wait = this.wait(key, count);
    if (wait === 0) this.count(key, count);
    return wait;
  }

  #forget(now: number): void {
    let looks = LOOKS;
    for (const [key, fullAt] of this.#fullAt) {
      if (fullAt > now && this.#fullAt.size <= MOST_BUCKETS) return;
      this.#fullAt.delete(key);
      if (--looks === 0) return;
    }
  }
}
