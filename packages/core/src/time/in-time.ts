import type { Clock } from "../contracts/clock.ts";

/**
 * Waits for work that knows no time limit, for so many milliseconds of the clock; the process stays alive meanwhile.
 * @param late what to reject with when the time is up. The work goes on, and nobody hears of it any more.
 */
export async function inTime<T>(work: T | PromiseLike<T>, clock: Clock, ms: number, late: () => Error): Promise<T> {
  let timer: Disposable | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = clock.after(ms, () => reject(late()));
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    timer?.[Symbol.dispose]();
  }
}
