import { isDavpoolError } from "@davpool/core";

/**
 * Whether a task that failed may be tried again.
 *
 * What was not carried out may, whatever it is: nobody could be reached, no slot was free, or time was up before anything
 * was sent; the engine reports anything else as `OUTCOME_UNKNOWN`. What may have been carried out may only if it is safe or
 * idempotent. What a server has answered is the answer.
 */
export function mayRunAgain(error: unknown, repeatable: boolean): boolean {
  if (!isDavpoolError(error)) return false;
  switch (error.code) {
    case "NO_SERVER_AVAILABLE":
    case "POOL_EXHAUSTED":
    case "DEADLINE_EXCEEDED":
      return true;
    case "OUTCOME_UNKNOWN":
      return repeatable;
    case "SERVER_REFUSED": {
      const { status } = error.details as { readonly status: number };
      return repeatable && (status === 408 || status === 429 || status >= 500);
    }
    default:
      return false;
  }
}
