import type { Clock } from "../contracts/clock.ts";

/** The machine's time: `performance.now` for durations, `Date` for the calendar, timers that keep no process alive. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => new Date(),
  after(ms, run) {
    const timer = setTimeout(run, ms).unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
