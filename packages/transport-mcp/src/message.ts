import type { JSONRPCMessage } from "@modelcontextprotocol/client";

/** Levels of objects and lists in a message: more than people need, and few enough for every recursive function. */
export const DEEPEST = 100;

/** Lists of which single entries are left out, when they are too deep, instead of the whole message. */
export const LISTS_OF_ENTRIES = ["tools", "prompts", "resources", "resourceTemplates"] as const;

/** True for a value with more levels of objects and lists than these. */
export function isTooDeep(value: unknown, levels = DEEPEST): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels === 0) return true;
  for (const inner of Array.isArray(value) ? (value as unknown[]) : Object.values(value))
    if (typeof inner === "object" && isTooDeep(inner, levels - 1)) return true;
  return false;
}

/** The same of a message, without the entries of lists: each of them is looked at for itself. */
export function isMessageTooDeep(message: JSONRPCMessage): boolean {
  if (!("result" in message)) return isTooDeep(message);
  const rest: Record<string, unknown> = { ...message.result };
  for (const list of LISTS_OF_ENTRIES) if (Array.isArray(rest[list])) delete rest[list];
  return isTooDeep(rest, DEEPEST - 1);
}

/** True for what JSON-RPC 2.0 calls a request, a notification or a response. What is in it is others' affair. */
export function isMessage(value: unknown): value is JSONRPCMessage {
  if (typeof value !== "object" || value === null) return false;
  const { jsonrpc, id, method, result, error } = value as Readonly<Record<string, unknown>>;
  if (jsonrpc !== "2.0") return false;
  if (method !== undefined) return typeof method === "string" && (id === undefined || isId(id));
  if (error !== undefined) {
    const { code, message } = (error ?? {}) as Readonly<Record<string, unknown>>;
    return (id === undefined || id === null || isId(id)) && typeof code === "number" && typeof message === "string";
  }
  return isId(id) && typeof result === "object" && result !== null;
}

function isId(id: unknown): id is string | number {
  return typeof id === "string" || typeof id === "number";
}
