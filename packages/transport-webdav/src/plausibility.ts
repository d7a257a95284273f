import type { WebDavRequest, WebDavResponse } from "./wire.ts";

/** The statuses with which a server says that it did what a method promises (RFC 9110 §9.3, RFC 4918 §9). */
const SUCCESS: Readonly<Record<string, readonly number[]>> = {
  PROPFIND: [207],
  SEARCH: [207],
  // lighttpd answers 204.
  PROPPATCH: [207, 204],
  MKCOL: [201, 207],
  // lighttpd answers 200 for collections.
  COPY: [200, 201, 204, 207],
  MOVE: [200, 201, 204, 207],
  LOCK: [200, 201, 207],
  UNLOCK: [204],
};
/** Methods whose answer may be an HTML page because that is what was asked for. */
const READING = new Set(["GET", "HEAD", "OPTIONS", "POST"]);

/**
 * Why a 2xx cannot be what a WebDAV server answers to this method: login pages, captive portals and gateways say 200 to
 * everything. Looks at the status and the headers only.
 * @returns one line, such as `it answered PROPFIND with 200 text/html, where 207 is a success`; undefined for an answer
 *   that may be right, and for any other status.
 */
export function implausible(
  { method, body }: Pick<WebDavRequest, "method" | "body">,
  { status, headers }: Pick<WebDavResponse, "status" | "headers">,
): string | undefined {
  if (status < 200 || status > 299) return undefined;
  const [type = ""] = String(headers["content-type"] ?? "").split(";");
  const answered = `it answered ${method} with ${status}${type === "" ? "" : ` ${type.slice(0, 50)}`}`;
  const expected = SUCCESS[method];
  if (expected && !expected.includes(status)) return `${answered}, where ${expected.join(" or ")} is a success`;
  // Servers describe with a page what they have created.
  if (status !== 201 && !READING.has(method) && /^\s*text\/html\s*$/i.test(type))
    return `${answered}, which is a page for people`;
  if (status === 207 && headers["content-length"] === "0") return `${answered} and without a body`;
  const locks = method === "LOCK" && status !== 207 && body !== undefined && body !== "";
  if (locks && headers["lock-token"] === undefined) return `${answered} and without a Lock-Token`;
  return undefined;
}

/** Whether an answer to OPTIONS comes from a WebDAV server, and not from a gateway before it. */
export function knowsWebDav({ headers }: Pick<WebDavResponse, "headers">): boolean {
  return headers["dav"] !== undefined || /\bPROPFIND\b/i.test(String(headers["allow"] ?? ""));
}
