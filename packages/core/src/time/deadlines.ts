import type { Clock } from "../contracts/clock.ts";

/** Something that ends by itself when its time has come. */
export interface Timed {
  /** On the clock's monotonic scale; may be moved while it waits. */
  expiresAt: number;
  /** Called once, after the entry was removed. */
  expire(): void;
  /** Called instead when the pool closes, after the entry was removed. */
  close(reason: Error): void;
}

/** Milliseconds between two looks at the waiting entries; entries expire at most this much late. */
export const TICK = 10;

/**
 * Times all attempts and waits of a pool with one coarse timer, instead of one timer for each: under load the timer
 * is set a hundred times a second, whatever the number of requests.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #entries = new Set<Timed>();
  #armed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(entry: Timed): void {
    this.#entries.add(entry);
    if (!this.#armed) this.#arm();
  }

  remove(entry: Timed): void {
    this.#entries.delete(entry);
  }

  /** Ends everything that is under way. */
  close(reason: Error): void {
    for (const entry of this.#entries) {
      this.#entries.delete(entry);
      entry.close(reason);
    }
  }

  #arm(): void {
    this.#armed = true;
    this.#clock.after(TICK, this.#tick);
  }

  readonly #tick = (): void => {
    this.#armed = false;
    if (this.#entries.size === 0) return;
    // Before anything expires, so that an entry which fails to end does not stop the time of the others.
    this.#arm();
    const now = this.#clock.now();
    for (const entry of this.#entries) {
      if (entry.expiresAt > now) continue;
      this.#entries.delete(entry);
      entry.expire();
    }
  };
}
