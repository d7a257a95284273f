import type { Clock } from "../contracts/clock.ts";

export interface SleepOptions {
  /** Ends the sleep early; it is no error. */
  readonly signal?: AbortSignal;
  /** Does not keep the process alive. Default: false. */
  readonly background?: boolean;
}

/** Resolves after so many milliseconds of the clock, or when the signal aborts. */
export function sleep(clock: Clock, ms: number, { signal, background = false }: SleepOptions = {}): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      timer[Symbol.dispose]();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.after(ms, done, { background });
    signal?.addEventListener("abort", done, { once: true });
  });
}
