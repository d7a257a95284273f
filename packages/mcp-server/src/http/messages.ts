import type { ServerResponse } from "node:http";

/** A JSON answer of this server's own. */
export function writeJson(
  target: ServerResponse,
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (target.headersSent || target.destroyed) return;
  const text = JSON.stringify(value);
  target.writeHead(status, {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(text)),
    "cache-control": "no-store",
    ...headers,
  });
  target.end(text);
}

/** An error in the protocol's own form. */
export function rpcError(code: number, message: string, id: unknown = null): object {
  return { jsonrpc: "2.0", error: { code, message }, id };
}
