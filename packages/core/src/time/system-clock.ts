import type { Clock } from "../contracts/clock.ts";

/** The platform's timers run at once when asked to wait longer. */
const LONGEST = 2_147_483_647;

/** The machine's time: `performance.now` for durations, `Date` for the calendar, the platform's timers. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => new Date(),
  after(ms, run, options) {
    const timer = setTimeout(run, Math.min(ms, LONGEST));
    if (options?.background === true) timer.unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
