import { setTimeout as delay } from "node:timers/promises";

/** A long pause of this process ends with a burst of what should have arrived meanwhile, as at a real server. */
const TICK = 1;

/**
 * Open loop: begins `rate` requests a second on a schedule, whether or not earlier ones have ended, for `seconds`.
 * Resolves when all have ended.
 *
 * @param request is told when it should have begun, on the scale of `performance.now()`: latency counts from there.
 * It must not reject.
 */
export async function openLoop(
  options: { readonly rate: number; readonly seconds: number; readonly signal: AbortSignal },
  request: (scheduledAt: number) => Promise<void>,
): Promise<void> {
  const start = performance.now();
  const total = Math.round(options.rate * options.seconds);
  const running = new Set<Promise<void>>();
  for (let begun = 0; begun < total;) {
    const due = Math.min(total, Math.floor(((performance.now() - start) / 1_000) * options.rate));
    for (; begun < due; begun++) {
      const one = request(start + (begun / options.rate) * 1_000);
      running.add(one);
      void one.finally(() => running.delete(one));
    }
    await delay(TICK, undefined, { signal: options.signal });
  }
  await Promise.all(running);
}
