import { describeError, isDavpoolError, retryAfter, type Clock, type Failure } from "@davpool/core";
import { isSafe } from "./methods.ts";
import { implausible } from "./plausibility.ts";
import { isStale } from "./stale-sockets.ts";
import type { WebDavRequest, WebDavResponse } from "./wire.ts";

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
const BROKEN = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "ETIMEDOUT"]);
/** undici refused the request itself. */
const MALFORMED = new Set([
  "UND_ERR_INVALID_ARG",
  "UND_ERR_NOT_SUPPORTED",
  "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH",
  "UND_ERR_ABORTED",
]);
/** The connection was closed from this side: the server left the pool or changed its address, or the pool closed. */
const CLOSED = new Set(["UND_ERR_DESTROYED", "UND_ERR_CLOSED", "POOL_CLOSED"]);

/** Errors that ended a request or its answer, whatever they are called. Others come from the caller's code. */
const connectionErrors = new WeakSet<Error>();

/** Notes that an error came from a connection. */
export function ofConnection(error: Error): void {
  connectionErrors.add(error);
}

/** What an error of a connection means. */
export function explain(error: unknown): Failure {
  const code = codeOf(error);
  const base = { message: describe(error, code), cause: error, ...(code !== undefined && { code }) };
  if (code !== undefined && CLOSED.has(code)) return { ...base, kind: "broken", blame: "connection" };
  if (isDavpoolError(error))
    return error.code.startsWith("INVALID_")
      ? { ...base, kind: error.code === "INVALID_XML" ? "broken" : "invalid", blame: "request" }
      : { ...base, kind: "unsent", blame: "server" };
  const { syscall } = (error ?? {}) as NodeJS.ErrnoException;
  if (code !== undefined) {
    if (UNSENT.has(code) || UNTRUSTED.test(code) || syscall === "connect" || syscall === "getaddrinfo")
      return { ...base, kind: "unsent", blame: "server" };
    if (TIMEOUT.has(code)) return { ...base, kind: "timeout", blame: "server" };
  }
  return isBreak(error, code)
    ? { ...base, kind: "broken", blame: isStale(error) ? "connection" : "repetition" }
    : { ...base, kind: "invalid", blame: "request" };
}

/** Whatever ends a connection breaks it: no list of codes is complete. */
function isBreak(error: unknown, code: string | undefined): boolean {
  if (code !== undefined && MALFORMED.has(code)) return false;
  if (error instanceof Error && connectionErrors.has(error)) return true;
  return code !== undefined && (BROKEN.has(code) || code.startsWith("UND_ERR_") || code.startsWith("HPE_"));
}

/**
 * The failure that an answer stands for (RFC 9110 §15). 507 and other 4xx are answers like any other, and so is a 502 to
 * COPY or MOVE: it speaks about the destination (RFC 4918 §9.8.5, §9.9.4). A 2xx that no WebDAV server gives to the method
 * is a failure, and leaves open what has been done.
 */
export function judge(response: WebDavResponse, request: WebDavRequest, clock: Clock): Failure | undefined {
  const { status } = response;
  const { method } = request;
  const problem = implausible(request, response);
  if (problem !== undefined)
    return {
      kind: "unavailable",
      blame: "server",
      message: problem,
      code: status,
      ...(!isSafe(method) && { mayBeDone: true }),
    };
  const failure = { message: `it answered ${status}`, code: status };
  switch (status) {
    case 401:
      return response.authorized
        ? { ...failure, kind: "refused", blame: "request", message: "it refuses the credentials (HTTP 401)" }
        : undefined;
    case 408:
      return { ...failure, kind: "rejected", blame: "repetition" };
    case 429:
    case 503: {
      const wait = retryAfter(response.headers["retry-after"], clock.wall());
      const blame = status === 503 ? "server" : "repetition";
      return { ...failure, kind: "overload", blame, ...(wait !== undefined && { retryAfter: wait }) };
    }
    case 502:
      if (method === "COPY" || method === "MOVE") return undefined;
      break;
    case 500:
    case 504:
      break;
    default:
      // Gateways have words of their own for a server that they cannot reach, or that is late.
      if (status < 520 || status > 530) return undefined;
  }
  return { ...failure, kind: "unavailable", blame: "server", mayBeDone: true };
}

function codeOf(error: unknown): string | undefined {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  if (typeof code === "string") return code;
  // undici's parser errors say it in their name only.
  return name === "HTTPParserError" ? "HPE_INVALID" : undefined;
}

function describe(error: unknown, code: string | undefined): string {
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
