import { createHash } from "node:crypto";
import type { AffinityChange, Repeat, RequestTraits } from "@davpool/core";
import { InvalidRequestError } from "./errors.ts";
import type { McpMethod, McpRequest, McpResponse, ToolAnnotations } from "./wire.ts";

/** What repeating each request would do. Of a call, only the tool itself can say. */
const REPEAT: Readonly<Record<McpMethod, Repeat>> = {
  "tools/list": "safe",
  "tools/call": "neither",
  "resources/list": "safe",
  "resources/templates/list": "safe",
  "resources/read": "safe",
  "resources/subscribe": "idempotent",
  "resources/unsubscribe": "idempotent",
  "prompts/list": "safe",
  "prompts/get": "safe",
  "completion/complete": "safe",
  "logging/setLevel": "idempotent",
};

export const METHODS = Object.keys(REPEAT) as readonly McpMethod[];

/** How long a server may wait for the second round of a request. */
const ROUND_TRIP = 3_600_000;

const traits = new Map<string, RequestTraits>();

/** What may be done with a request. @throws InvalidRequestError for what a pool does not send. */
export function traitsOf({ method, params, annotations }: McpRequest): RequestTraits {
  if (!Object.hasOwn(REPEAT, method))
    throw new InvalidRequestError(
      `${JSON.stringify(method)} is no request that a pool of MCP servers takes. It takes ${METHODS.join(", ")}.`,
    );
  const repeat = method === "tools/call" ? repeatOfCall(annotations) : REPEAT[method];
  const shared = sharedTraits(method, repeat);
  const state = params?.["requestState"];
  return typeof state === "string" ? { ...shared, boundTo: [stateKey(state)] } : shared;
}

/**
 * A result that asks for more input comes with a state that means something to the server that made it, and to no other.
 */
export function learned(_request: McpRequest, { result }: McpResponse): readonly AffinityChange[] {
  const state = result?.["requestState"];
  return typeof state === "string" ? [{ learn: stateKey(state), kind: "tag", ttl: ROUND_TRIP }] : [];
}

function repeatOfCall(annotations: ToolAnnotations | undefined): Repeat {
  if (annotations?.readOnlyHint === true) return "safe";
  return annotations?.idempotentHint === true ? "idempotent" : "neither";
}

function sharedTraits(operation: string, repeat: Repeat): RequestTraits {
  const key = `${operation} ${repeat}`;
  let known = traits.get(key);
  if (!known) traits.set(key, (known = Object.freeze({ operation, repeat, replayable: true })));
  return known;
}

function stateKey(state: string): string {
  return `mcp-state:${createHash("sha256").update(state).digest("base64url")}`;
}
