import { isDavpoolError, type DavpoolError } from "@davpool/core";
import type { McpResponse } from "@davpool/transport-mcp";
import { ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";
import { SOURCE, type Fields } from "./messages.ts";

/** JSON-RPC code: no server of the pool gave an answer. */
export const UPSTREAM_UNAVAILABLE = -32_003;

/** Codes of calls that were not made because they must not or cannot be. */
const REFUSED = new Set(["POLICY_DENIED", "NO_CREDENTIALS", "INVALID_REQUEST", "AFFINITY_UNKNOWN"]);

/** A server's answer as this gateway gives it. @throws ProtocolError with what the server, or nobody, answered. */
export function resultOf(response: McpResponse, pool: string, serverId: string): Fields {
  if (response.result) return response.result;
  const source = { pool, server: serverId };
  if (response.refusal) {
    const { status, message } = response.refusal;
    throw new ProtocolError(UPSTREAM_UNAVAILABLE, `Server "${serverId}" of pool "${pool}" refused: ${message}`, {
      code: "SERVER_REFUSED",
      status,
      ...source,
    });
  }
  const { code, message, data } = response.error;
  throw new ProtocolError(code, message, withSource(data, source));
}

/** What a call that no server answered is answered with: which pool and which servers, and why. */
export function unavailable(error: DavpoolError, pool: string): ProtocolError {
  const { code, message, details } = error;
  const { server, servers, attempts } = details as {
    server?: string;
    servers?: unknown;
    attempts?: readonly { readonly serverId: string }[];
  };
  const last = server ?? attempts?.at(-1)?.serverId;
  return new ProtocolError(REFUSED.has(code) ? ProtocolErrorCode.InvalidRequest : UPSTREAM_UNAVAILABLE, message, {
    code,
    pool,
    ...(last !== undefined && { server: last }),
    ...(servers !== undefined && { servers }),
    ...(attempts !== undefined && { attempts }),
  });
}

/** What a failed call is answered with. */
export function protocolErrorOf(error: unknown, pool: string): unknown {
  return isDavpoolError(error) ? unavailable(error, pool) : error;
}

/** The server's own data, with a note of which it was where there is room for one. */
function withSource(data: unknown, source: Fields): unknown {
  if (data === undefined) return { [SOURCE]: source };
  return typeof data === "object" && data !== null && !Array.isArray(data) ? { ...data, [SOURCE]: source } : data;
}
