import type { Clock } from "./clock.ts";
import { Changes } from "./waiting.ts";

interface Timer {
  readonly due: number;
  readonly run: () => void;
}

/** A clock that stands still until a test moves it. Fits wherever `@davpool/core` takes a clock, too. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #start: number;
  readonly #timers = new Set<Timer>();
  readonly #changes = new Changes();

  /** `start` is the wall clock's time at the beginning; default 2026-01-01T00:00:00Z. */
  constructor(start: Date = new Date("2026-01-01T00:00:00Z")) {
    this.#start = start.getTime();
  }

  /** Milliseconds by which the clock has been moved. */
  now(): number {
    return this.#now;
  }

  /** The wall clock, which moves along. */
  wall(): Date {
    return new Date(this.#start + this.#now);
  }

  after(ms: number, run: () => void): Disposable {
    const timer = { due: this.#now + Math.max(0, ms), run };
    this.#timers.add(timer);
    this.#changes.notify();
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) };
  }

  /** Timers that wait to be run. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Resolves when at least `count` (default 1) timers wait: then whoever was to start them has got that far. */
  async scheduled(count = 1): Promise<void> {
    await this.#changes.until(() => (this.#timers.size >= count ? true : undefined));
  }

  /**
   * Moves the clock and runs what has become due, in order, each at its own time, and timers that those have started
   * as well. What happens later as a result of them (after an `await`) finds the clock at its new time.
   */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let next = this.#nextDue(end); next !== undefined; next = this.#nextDue(end)) {
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.due);
      next.run();
    }
    this.#now = end;
  }

  #nextDue(end: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.due <= end && (next === undefined || timer.due < next.due)) next = timer;
    }
    return next;
  }
}
