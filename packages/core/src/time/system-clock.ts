import type { Clock } from "../contracts/clock.ts";

/** The machine's time: `performance.now` for durations, `Date` for the calendar, the platform's timers. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => new Date(),
  after(ms, run, options) {
    const timer = setTimeout(run, ms);
    if (options?.background === true) timer.unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
