import { createManualClock, type ManualClock } from "@davpool/core";

export interface ObservedClock extends ManualClock {
  /** Resolves with the length of the next wait that begins and is no longer than `most`, once it has begun. */
  nextWait(most: number): Promise<number>;
}

/** A manual clock that tells when somebody begins to wait, so that tests know when to move it. */
export function createObservedClock(): ObservedClock {
  const clock = createManualClock();
  const expecting = new Set<(ms: number) => void>();
  return {
    now: () => clock.now(),
    wall: () => clock.wall(),
    advance: (ms) => clock.advance(ms),
    get pending() {
      return clock.pending;
    },
    after(ms, run, options) {
      const timer = clock.after(ms, run, options);
      for (const look of expecting) look(ms);
      return timer;
    },
    nextWait: (most) =>
      new Promise((resolve) => {
        const look = (ms: number) => {
          if (ms > most) return;
          expecting.delete(look);
          resolve(ms);
        };
        expecting.add(look);
      }),
  };
}
