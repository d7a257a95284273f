import type { FaultFields } from "../faults/check-fault.ts";
import { HEADERS, STATUS, TEXT, checkFault, oneOf, optional, whole } from "../faults/check-fault.ts";
import type { McpCommonFault, McpFault, McpHttpFault, McpStdioFault } from "./mcp-fault.ts";

const ON = oneOf("initialize", "call");

const COMMON: FaultFields<McpCommonFault> = {
  crash: { after: whole(0) },
  "crash-before-ready": {},
  hang: { on: ON },
  "long-line": { bytes: optional(whole(1)) },
  "invalid-json": {},
  "wrong-answer": { text: TEXT },
  error: { code: whole(), message: TEXT },
};

const OVER_STDIO: FaultFields<McpStdioFault> = {
  "exit-at-once": { code: optional(whole(0, 255)) },
  "exit-on-discover": {},
  garbage: {},
  stubborn: {},
};

const OVER_HTTP: FaultFields<McpHttpFault> = {
  status: { status: STATUS, headers: optional(HEADERS), on: optional(ON) },
  "unknown-session": { status: STATUS, text: TEXT },
  cut: { when: oneOf("before-head", "in-stream") },
};

/** @throws TypeError or RangeError for a fault that a server over this transport cannot have. */
export function checkMcpFault(transport: "stdio" | "http", fault: McpFault): void {
  if (transport === "stdio") checkFault("a fake MCP server over stdio", { ...COMMON, ...OVER_STDIO }, fault);
  else checkFault("a fake MCP server over HTTP", { ...COMMON, ...OVER_HTTP }, fault);
}
