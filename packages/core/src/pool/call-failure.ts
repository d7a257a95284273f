import type { Failure } from "../contracts/failure.ts";
import { describeError, isDavpoolError } from "../errors/davpool-error.ts";

/** What the error of a call that made no attempt means. `invalid`: the call could not even be asked. */
export function failureOfCall(error: unknown): Failure {
  const code = isDavpoolError(error) ? error.code : undefined;
  const failure = { message: describeError(error), ...(code !== undefined && { code }), cause: error };
  switch (code) {
    case "CANCELLED":
      return { ...failure, kind: "cancelled", blame: "caller" };
    case "POOL_CLOSED":
      return { ...failure, kind: "cancelled", blame: "request" };
    case "DEADLINE_EXCEEDED":
      return { ...failure, kind: "timeout", blame: "request" };
    case "POOL_EXHAUSTED":
    case "NO_SERVER_AVAILABLE":
      return { ...failure, kind: "unsent", blame: "request" };
    default:
      return { ...failure, kind: "invalid", blame: "request" };
  }
}
