import type { RequestCounters } from "../contracts/profile-store.ts";

const ZERO: RequestCounters = { total: 0, successful: 0, failed: 0, failoverCount: 0, responseTimeSum: 0 };

/** Counts calls. What earlier runs counted is added when shown, and only the difference is saved. */
export class Counters {
  #own = { ...ZERO };
  #saved = { ...ZERO };
  #restored: RequestCounters = ZERO;

  restore(counters: RequestCounters): void {
    this.#restored = counters;
  }

  /** A call ended. @param latency milliseconds of the whole call. */
  ended(successful: boolean, latency: number, failedOver: boolean): void {
    this.#own.total++;
    if (successful) {
      this.#own.successful++;
      this.#own.responseTimeSum += latency;
    } else this.#own.failed++;
    if (failedOver) this.#own.failoverCount++;
  }

  get current(): RequestCounters {
    return combine(this.#restored, this.#own, 1);
  }

  /** Whether there is anything that has not been saved. */
  get unsaved(): boolean {
    return this.#own.total !== this.#saved.total;
  }

  /** Adds to what is stored what this process counted since it last did so; call `commit` once that is on disk. */
  addTo(stored: RequestCounters): { readonly counters: RequestCounters; readonly commit: () => void } {
    const now = { ...this.#own };
    return {
      counters: combine(stored, combine(now, this.#saved, -1), 1),
      commit: () => void (this.#saved = now),
    };
  }
}

function combine(a: RequestCounters, b: RequestCounters, sign: 1 | -1): RequestCounters {
  return {
    total: a.total + sign * b.total,
    successful: a.successful + sign * b.successful,
    failed: a.failed + sign * b.failed,
    failoverCount: a.failoverCount + sign * b.failoverCount,
    responseTimeSum: a.responseTimeSum + sign * b.responseTimeSum,
  };
}
