import { describeError, isDavpoolError, retryAfter, type Clock, type Failure } from "@davpool/core";
import { codeOf, refusesCredentials } from "./problem.ts";
import type { McpResponse } from "./wire.ts";

/** Come before a connection stands: nothing can have been sent. */
const UNSENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** What an error of a connection means. */
export function explain(error: unknown): Failure {
  const base = { message: describeError(error), cause: error };
  if (isDavpoolError(error)) {
    switch (error.code) {
      case "INVALID_REQUEST":
      case "INVALID_PROFILE":
      case "ANSWER_TOO_LARGE":
        return { ...base, kind: "invalid", blame: "request", code: error.code };
      case "TOO_MANY_PROCESSES":
        return { ...base, kind: "unsent", blame: "request", code: error.code };
      case "CONNECTION_BROKEN":
        return { ...base, kind: "broken", blame: "repetition", code: error.code };
      case "UNUSABLE_ANSWER":
        return { ...base, kind: "broken", blame: "server", code: error.code };
      case "CONNECTION_CLOSED":
      case "POOL_CLOSED":
        return { ...base, kind: "broken", blame: "connection", code: error.code };
      case "SESSION_LOST":
        return { ...base, kind: "broken", blame: "server", code: error.code };
      default: {
        if (refusesCredentials(error)) return { ...base, kind: "refused", blame: "request", code: 401 };
        const { reason = error.code } = error as { reason?: string | number };
        return { ...base, kind: "unsent", blame: "server", code: reason };
      }
    }
  }
  const code = codeOf(error);
  if (code === undefined) return { ...base, kind: "broken", blame: "repetition" };
  return { ...base, kind: UNSENT.has(code) ? "unsent" : "broken", blame: "repetition", code };
}

/** The failure that an answer stands for. Results with `isError` and JSON-RPC errors stand for none. */
export function judge({ refusal }: McpResponse, clock: Clock): Failure | undefined {
  if (!refusal) return undefined;
  const { status: code, message, credentials } = refusal;
  if (credentials) return { kind: "refused", blame: "request", message, code };
  switch (code) {
    case 408:
      return { kind: "rejected", blame: "repetition", message, code };
    case 429:
    case 503: {
      const wait = retryAfter(refusal.retryAfter, clock.wall());
      return {
        kind: "overload",
        blame: code === 503 ? "server" : "repetition",
        message,
        code,
        ...(wait !== undefined && { retryAfter: wait }),
      };
    }
    default:
      // Whatever it is, it keeps this server from answering; another one may.
      return { kind: "unavailable", blame: "server", message, code };
  }
}

/** How an answer says no: the status or code of an error, or that it is a tool's own. */
export function refusal({ refusal: http, error, result }: McpResponse): string | number | undefined {
  return http?.status ?? error?.code ?? (result?.["isError"] === true ? "tool_error" : undefined);
}
