/**
 * Where a server takes its time from. `@davpool/core`'s clock fits, and so does any fake with these two members.
 */
export interface Clock {
  /** Monotonic milliseconds; only differences mean something. */
  now(): number;
  /** Runs `run` once, `ms` milliseconds from now, unless the returned value is disposed of before. */
  after(ms: number, run: () => void): Disposable;
}

/** Node turns a longer delay into 1 ms, with a warning. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** The real clock. A delay that no timer can hold (more than 24 days, or `Infinity`) never fires. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    if (ms > LONGEST_TIMER) return { [Symbol.dispose]: () => {} };
    const timer = setTimeout(run, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
