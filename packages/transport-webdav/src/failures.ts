import { describeError, isDavpoolError, retryAfter, type Clock, type Failure } from "@davpool/core";
import { isStale } from "./stale-sockets.ts";
import type { WebDavResponse } from "./wire.ts";

/** Errors that come before a connection stands: nothing can have been sent. */
const UNSENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EAI_NODATA",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "UND_ERR_CONNECT_TIMEOUT",
  "EPROTO",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "HOSTNAME_MISMATCH",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED",
]);
/** TLS alerts, and OpenSSL's many words for a certificate that is not trusted. */
const UNTRUSTED = /^(?:ERR_(?:TLS|SSL)_|CERT_|CRL_|UNABLE_TO_|ERROR_IN_CERT_|ERROR_IN_CRL_)/;
const TIMEOUT = new Set(["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"]);
const BROKEN = new Set([
  "ECONNRESET",
  "EPIPE",
  "ECONNABORTED",
  "ETIMEDOUT",
  "UND_ERR_SOCKET",
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
  "UND_ERR_HEADERS_OVERFLOW",
]);
/** The connection was closed from this side: the server left the pool or changed its address, or the pool closed. */
const CLOSED = new Set(["UND_ERR_DESTROYED", "UND_ERR_CLOSED", "POOL_CLOSED"]);

/** What an error of a connection means. */
export function explain(error: unknown): Failure {
  const code = codeOf(error);
  const base = { message: problem(error, code), cause: error, ...(code !== undefined && { code }) };
  if (code !== undefined && CLOSED.has(code)) return { ...base, kind: "broken", blame: "connection" };
  if (isDavpoolError(error))
    return error.code.startsWith("INVALID_")
      ? { ...base, kind: error.code === "INVALID_XML" ? "broken" : "invalid", blame: "request" }
      : { ...base, kind: "unsent", blame: "server" };
  if (code === undefined) return { ...base, kind: "invalid", blame: "request" };
  const { syscall } = error as NodeJS.ErrnoException;
  if (UNSENT.has(code) || UNTRUSTED.test(code) || syscall === "connect" || syscall === "getaddrinfo")
    return { ...base, kind: "unsent", blame: "server" };
  if (TIMEOUT.has(code)) return { ...base, kind: "timeout", blame: "server" };
  if (BROKEN.has(code) || code.startsWith("HPE_"))
    return { ...base, kind: "broken", blame: isStale(error) ? "connection" : "repetition" };
  return { ...base, kind: "invalid", blame: "request" };
}

/** The failure that an answer stands for (RFC 9110 §15). 507 and other 4xx are answers like any other. */
export function judge(response: WebDavResponse, clock: Clock): Failure | undefined {
  const { status } = response;
  if (status < 408) return undefined;
  switch (status) {
    case 408:
      return { kind: "rejected", blame: "repetition", message: "it answered 408", code: status };
    case 500:
    case 502:
    case 504:
      return { kind: "unavailable", blame: "server", message: `it answered ${status}`, code: status };
    case 429:
    case 503: {
      const wait = retryAfter(response.headers["retry-after"], clock.wall());
      return {
        kind: "overload",
        blame: status === 503 ? "server" : "repetition",
        message: `it answered ${status}`,
        code: status,
        ...(wait !== undefined && { retryAfter: wait }),
      };
    }
    default:
      return undefined;
  }
}

function codeOf(error: unknown): string | undefined {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  if (typeof code === "string") return code;
  // undici's parser errors say it in their name only.
  return name === "HTTPParserError" ? "HPE_INVALID" : undefined;
}

function problem(error: unknown, code: string | undefined): string {
  switch (code) {
    case "ECONNREFUSED":
      return "connection refused";
    case "ENOTFOUND":
      return "host name not found";
    case "ECONNRESET":
      return "connection reset";
    case "UND_ERR_SOCKET":
      return "connection closed by the server";
    case "UND_ERR_CONNECT_TIMEOUT":
      return "no connection in time";
    default:
      return describeError(error);
  }
}
