import type { Repeat, RequestTraits } from "@davpool/core";
import { boundTo, decoded, header } from "./affinity.ts";
import { isWithinLimits } from "./limits.ts";
import type { WebDavBody, WebDavRequest } from "./wire.ts";

/** What repeating a method does (RFC 9110 §9.2, RFC 4918 §9, RFC 3253, RFC 5323). Other methods are refused. */
const REPEAT: Readonly<Record<string, Repeat>> = {
  GET: "safe",
  HEAD: "safe",
  OPTIONS: "safe",
  PROPFIND: "safe",
  REPORT: "safe",
  SEARCH: "safe",
  PUT: "idempotent",
  DELETE: "idempotent",
  MKCOL: "idempotent",
  COPY: "idempotent",
  MOVE: "idempotent",
  PROPPATCH: "idempotent",
  UNLOCK: "idempotent",
  LOCK: "neither",
  POST: "neither",
  PATCH: "neither",
};

/** The methods that can be sent. */
export const METHODS: readonly string[] = Object.keys(REPEAT);

/** What does not depend on the path or the headers, one frozen instance for each kind of request. */
const TRAITS = new Map<string, RequestTraits>();
for (const [operation, repeat] of Object.entries(REPEAT)) {
  TRAITS.set(operation, Object.freeze({ operation, repeat, replayable: true }));
  TRAITS.set(`${operation} once`, Object.freeze({ operation, repeat, replayable: false }));
}

/** The traits of a request. A method nobody knows is one that must not be repeated; sending it is refused later. */
export function traitsOf(request: WebDavRequest): RequestTraits {
  const { method, path, headers, body } = request;
  const known = TRAITS.get(isReplayable(body) ? method : `${method} once`);
  let traits: RequestTraits = known ?? { operation: "UNKNOWN", repeat: "neither", replayable: isReplayable(body) };
  // It is refused before it is sent, so nothing more needs to be known of it.
  if (!isWithinLimits(request)) return traits;
  // rclone and sabre/dav remove the destination before they look for the source: a repeat would delete what was moved.
  if (method === "MOVE" && header(request, "overwrite")?.toUpperCase() === "T")
    traits = { ...traits, repeat: "neither" };
  const keys = headers && boundTo(path, headers);
  const resource = firstName(path);
  if (resource === undefined && !keys) return traits;
  return {
    ...traits,
    ...(resource !== undefined && { resource }),
    ...(keys && { boundTo: keys, ...(method === "UNLOCK" && { repeatableWhereBound: true }) }),
  };
}

/** The first name of a path, decoded: what is mounted on a server is mounted in its base. Undefined for the base. */
function firstName(path: string): string | undefined {
  let start = 0;
  while (path.charCodeAt(start) === SLASH) start += 1;
  if (start === path.length) return undefined;
  const end = path.indexOf("/", start);
  return decoded(path.slice(start, end < 0 ? undefined : end));
}

const SLASH = 47;

export function isSafe(method: string): boolean {
  return REPEAT[method] === "safe";
}

/** Whether a body can be sent again. */
export function isReplayable(body: WebDavBody | undefined): boolean {
  return body === undefined || typeof body === "string" || body instanceof Uint8Array || typeof body === "function";
}
