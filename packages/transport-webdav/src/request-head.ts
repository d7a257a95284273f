import { InvalidPathError, InvalidRequestError } from "./errors.ts";
import { METHODS } from "./methods.ts";
import { destinationProblem } from "./destinations.ts";
import { bareToken, ifParts } from "./if-header.ts";
import { below, confine, isWholeUrl, type Base } from "./paths.ts";
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
 * @param fixed headers that the connection adds, `user-agent` first.
 * @throws InvalidRequestError, InvalidPathError
 */
export function requestHeaders(base: Base, request: WebDavRequest, fixed: readonly string[]): string[] {
  const { method, headers } = request;
  if (!known.has(method))
    throw new InvalidRequestError(`The method "${method.slice(0, 50)}" is not sent. Methods: ${METHODS.join(", ")}.`);
  const list = [...fixed];
  const seen = new Set<string>();
  for (const name in headers) {
    const value = headers[name] as string;
    const lower = name.toLowerCase();
    if (seen.has(lower)) throw new InvalidRequestError(`The header ${name} is given twice. Give it once.`);
    seen.add(lower);
    if (RESERVED.has(lower)) throw new InvalidRequestError(`The header ${name} is set by davpool and cannot be given.`);
    if (!NAME.test(name)) throw new InvalidRequestError(`${JSON.stringify(name)} is not a header name.`);
    const written = rewritten(base, request, lower, value);
    if (!VALUE.test(written))
      throw new InvalidRequestError(`The value of header ${name} has characters that cannot be sent.`);
    // The connection's own, which is the first of the fixed ones, gives way.
    if (lower === "user-agent") list[1] = written;
    else list.push(name, written);
  }
  if (method !== "COPY" && method !== "MOVE") return list;
  if (!seen.has("destination"))
    throw new InvalidRequestError(`${method} needs a Destination header: the new path, such as /folder/new-name.txt.`);
  // To WebDAV its absence means T (RFC 4918 §10.6): what is there is deleted, whatever it is.
  if (!seen.has("overwrite")) list.push("overwrite", "F");
  return list;
}

function rewritten(base: Base, request: WebDavRequest, name: string, value: string): string {
  switch (name) {
    case "destination": {
      const path = relative(base, value);
      const problem = destinationProblem(request, path);
      if (problem !== undefined) throw new InvalidPathError(value, `as a Destination it ${problem}`);
      return base.origin + confine(base, path);
    }
    case "overwrite":
      if (!/^[TF]$/i.test(value))
        throw new InvalidRequestError("Overwrite must be T, to replace what is at the destination, or F.");
      return value.toUpperCase();
    case "lock-token":
      return `<${bareToken(value)}>`;
    case "if":
      return ifParts(value)
        .map((part) => ("resource" in part ? `<${absolute(base, part.resource)}>` : part.list))
        .join(" ");
    default:
      return value;
  }
}

/** Servers disagree about paths in headers, so they get whole URLs of their own; a caller may give either. */
function absolute(base: Base, resource: string): string {
  return base.origin + confine(base, relative(base, resource));
}

/** The path below the base. */
function relative(base: Base, resource: string): string {
  const path = isWholeUrl(resource) ? below(base, resource, base.path) : resource;
  if (path === undefined)
    throw new InvalidPathError(
      resource,
      "in a header it is not below this server's base. Give a path, which fits every server.",
    );
  return path;
}
