import { describeError, isDavpoolError, type Log } from "@davpool/core";
import type { CallToolResult } from "@modelcontextprotocol/server";
import type { CircuitBreaker } from "../sessions/circuit-breaker.ts";
import type { Tool, ToolCall } from "./tool.ts";

/** How the host lets tools of its pools be called. */
export interface CallRules {
  /** Milliseconds that a call may take, if they are limited. */
  readonly limit?: number;
  /** Refuses calls of callers whose calls of a pool keep running out of time. */
  readonly breaker?: CircuitBreaker;
}

/** Calls a tool of this server's own. What fails is its result, which says why. */
export async function callTool(
  tool: Tool,
  written: unknown,
  call: Omit<ToolCall, "limit">,
  { limit, breaker: anyBreaker }: CallRules,
  log: Log,
): Promise<CallToolResult> {
  const { principal } = call.caller;
  const { pool } = tool;
  const breaker = tool.asksServers ? anyBreaker : undefined;
  try {
    breaker?.enter(principal, pool);
    const { value, isError } = await tool.run(written, limit === undefined ? call : { ...call, limit });
    breaker?.ended(principal, pool, undefined);
    return result(value, isError ?? false);
  } catch (error) {
    breaker?.ended(principal, pool, error);
    if (isDavpoolError(error)) {
      const { code, message, details } = error;
      return result({ error: { code, message, ...details } }, true);
    }
    log.error(`${tool.name} failed unexpectedly: ${describeError(error)}`, {
      tool: tool.name,
      stack: error instanceof Error ? error.stack : undefined,
    });
    return result({ error: { code: "INTERNAL", message: `${tool.name} failed: ${describeError(error)}` } }, true);
  }
}

/** The value as structured content and, for clients that know only text, as JSON. */
function result(value: Readonly<Record<string, unknown>>, isError: boolean): CallToolResult {
  const content = [{ type: "text" as const, text: JSON.stringify(value) }];
  return isError ? { content, isError } : { content, structuredContent: { ...value } };
}
