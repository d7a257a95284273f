import type { Clock } from "../contracts/clock.ts";

/** A clock that stands still until it is told to move. For tests. */
export interface ManualClock extends Clock {
  /** Moves time on by `ms` and runs everything that falls due, in order, each at its own time. */
  advance(ms: number): void;
  /** How many runs are waiting. */
  readonly pending: number;
}

interface Waiting {
  readonly due: number;
  readonly order: number;
  readonly run: () => void;
}

/** @param start the calendar's time at the beginning. Default 2026-01-01T00:00:00Z. */
export function createManualClock(start: Date = new Date("2026-01-01T00:00:00Z")): ManualClock {
  const waiting = new Set<Waiting>();
  let now = 0;
  let order = 0;

  function next(limit: number): Waiting | undefined {
    let first: Waiting | undefined;
    for (const entry of waiting) {
      if (entry.due > limit) continue;
      if (!first || entry.due < first.due || (entry.due === first.due && entry.order < first.order)) first = entry;
    }
    return first;
  }

  return {
    now: () => now,
    wall: () => new Date(start.getTime() + now),
    after(ms, run) {
      const entry = { due: now + Math.max(0, ms), order: order++, run };
      waiting.add(entry);
      return { [Symbol.dispose]: () => void waiting.delete(entry) };
    },
    advance(ms) {
      const limit = now + ms;
      for (let entry = next(limit); entry; entry = next(limit)) {
        waiting.delete(entry);
        now = entry.due;
        entry.run();
      }
      now = limit;
    },
    get pending() {
      return waiting.size;
    },
  };
}
