import { InvalidPathError, InvalidRequestError } from "./errors.ts";
import { METHODS } from "./methods.ts";
import { bareToken, ifHeader } from "./affinity.ts";
import { below, confine, type Base } from "./paths.ts";
import type { WebDavRequest } from "./wire.ts";

/** Set by the connection, or meant for one hop only: never taken from a caller. */
const RESERVED = new Set([
  "authorization",
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// oxlint-disable-next-line no-control-regex -- these are what must not go on the wire
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const known = new Set(METHODS);

/**
 * Names and values in turn, as they go to one server.
 * @param fixed headers that the connection adds.
 * @throws InvalidRequestError, InvalidPathError
 */
export function requestHeaders(base: Base, request: WebDavRequest, fixed: readonly string[]): string[] {
  const { method, headers } = request;
  if (!known.has(method))
    throw new InvalidRequestError(`The method "${method}" is not sent. Methods: ${METHODS.join(", ")}.`);
  const list = [...fixed];
  for (const name in headers) {
    const value = headers[name] as string;
    const lower = name.toLowerCase();
    if (RESERVED.has(lower)) throw new InvalidRequestError(`The header ${name} is set by davpool and cannot be given.`);
    if (!NAME.test(name)) throw new InvalidRequestError(`${JSON.stringify(name)} is not a header name.`);
    if (!VALUE.test(value))
      throw new InvalidRequestError(`The value of header ${name} has characters that cannot be sent.`);
    list.push(name, rewritten(base, lower, value));
  }
  if ((method === "COPY" || method === "MOVE") && !list.some((name) => name.toLowerCase() === "destination"))
    throw new InvalidRequestError(`${method} needs a Destination header: the new path, such as /folder/new-name.txt.`);
  return list;
}

function rewritten(base: Base, name: string, value: string): string {
  switch (name) {
    case "destination":
      return base.origin + confine(base, ownPath(base, value));
    case "lock-token":
      return `<${bareToken(value)}>`;
    case "if":
      return ifHeader(value);
    default:
      return value;
  }
}

/** Servers disagree about relative destinations, so they get absolute ones; a caller may give either. */
function ownPath(base: Base, destination: string): string {
  if (!/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(destination)) return destination;
  const path = below(base, destination, base.path);
  if (path === undefined)
    throw new InvalidPathError(
      destination,
      "as a Destination it is not below this server's base. Give a path, which fits every server.",
    );
  return path;
}
