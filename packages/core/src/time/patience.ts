import type { Deadlines, Timed } from "./deadlines.ts";

/** Rings once: when the time has come, the signal aborts or the pool closes. Returns what calls it off. */
function alarm(deadlines: Deadlines, until: number, signal: AbortSignal | undefined, ring: () => void): () => void {
  const off = () => {
    deadlines.remove(entry);
    signal?.removeEventListener("abort", done);
  };
  const done = () => {
    off();
    ring();
  };
  const entry: Timed = { expiresAt: until, expire: done, close: done };
  signal?.addEventListener("abort", done, { once: true });
  deadlines.add(entry);
  return off;
}

/** Waits until a moment of the clock, or less when the signal aborts or the pool closes. */
export function pause(deadlines: Deadlines, until: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => void alarm(deadlines, until, signal, resolve));
}

/** As {@link pause}, with a way to end it early: nothing is timed any more then, and `over` never settles. */
export function patience(
  deadlines: Deadlines,
  until: number,
  signal: AbortSignal | undefined,
): { readonly over: Promise<void>; readonly end: () => void } {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  return { over, end: alarm(deadlines, until, signal, resolve) };
}

/** Waits for work that knows neither deadline nor signal; rejects when the waiting ends first. */
export async function within<T>(
  work: PromiseLike<T>,
  deadlines: Deadlines,
  until: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  let off: (() => void) | undefined;
  const interrupted = new Promise<never>((_resolve, reject) => {
    off = alarm(deadlines, until, signal, () => reject(new Error("it took too long")));
  });
  try {
    return await Promise.race([work, interrupted]);
  } finally {
    off?.();
  }
}
