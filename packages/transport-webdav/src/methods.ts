import type { Repeat, RequestTraits } from "@davpool/core";
import { boundTo } from "./affinity.ts";
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

/** One frozen instance for each kind of request, so that the usual request allocates none. */
const TRAITS = new Map<string, RequestTraits>();
for (const [operation, repeat] of Object.entries(REPEAT)) {
  TRAITS.set(operation, Object.freeze({ operation, repeat, replayable: true }));
  TRAITS.set(`${operation} once`, Object.freeze({ operation, repeat, replayable: false }));
}

/** The traits of a request. A method nobody knows is one that must not be repeated; sending it is refused later. */
export function traitsOf(request: WebDavRequest): RequestTraits {
  const { method, headers, body } = request;
  const known = TRAITS.get(isReplayable(body) ? method : `${method} once`);
  const traits = known ?? { operation: "UNKNOWN", repeat: "neither", replayable: isReplayable(body) };
  const keys = headers && boundTo(request.path, headers);
  return keys ? { ...traits, boundTo: keys } : traits;
}

export function isSafe(method: string): boolean {
  return REPEAT[method] === "safe";
}

function isReplayable(body: WebDavBody | undefined): boolean {
  return body === undefined || typeof body === "string" || body instanceof Uint8Array || typeof body === "function";
}
