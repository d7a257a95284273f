import { CallCancelledError } from "@davpool/core";

/** Settles with `work`, or at once when the caller has gone. @throws CallCancelledError */
export function cancellable<T>(work: Promise<T>, operation: string, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const cancel = () => reject(new CallCancelledError(operation, signal.reason));
    const done = () => signal.removeEventListener("abort", cancel);
    signal.addEventListener("abort", cancel, { once: true });
    if (signal.aborted) cancel();
    work.then(resolve, reject).finally(done);
  });
}
