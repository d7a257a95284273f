import type { Failure } from "../contracts/failure.ts";
import { describeError, isDavpoolError } from "../errors/davpool-error.ts";

/**
 * What it means that the credentials of a call cannot be used. Where a principal's cannot be had, that ends the call: no
 * server is to blame, and one principal's missing secret must not use up the retries that all share. Where a server has
 * refused them before, the call goes on to another one.
 */
export function credentialFailure(error: unknown): Failure | undefined {
  if (!isDavpoolError(error)) return undefined;
  if (error.code === "CREDENTIALS_REFUSED")
    return { kind: "refused", blame: "request", message: "it refuses the credentials", code: error.code, cause: error };
  if (error.code !== "NO_CREDENTIALS") return undefined;
  return { kind: "invalid", blame: "request", message: error.message, code: error.code, cause: error };
}

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
