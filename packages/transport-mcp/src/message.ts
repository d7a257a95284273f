import type { JSONRPCMessage } from "@modelcontextprotocol/client";

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
