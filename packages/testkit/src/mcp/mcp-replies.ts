import { faultOf } from "./mcp-fault.ts";
import type { McpSettings, McpTool } from "./mcp-settings.ts";

export interface RpcMessage {
  readonly jsonrpc: "2.0";
  readonly id?: string | number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
}

export interface RpcReply {
  readonly jsonrpc: "2.0";
  readonly id: string | number;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown };
}

export const LEGACY_VERSION = "2025-11-25";
export const MODERN_VERSION = "2026-07-28";
const VERSION_KEY = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES = { tools: { listChanged: true }, resources: {}, prompts: {}, completions: {}, logging: {} };

/** True for what begins a session, or asks whether there could be one. */
export function beginsSession(method: string | undefined): boolean {
  return method === "initialize" || method === "server/discover";
}

/** True for a request that names its own protocol version, as each one of the modern era does. */
export function isModern({ params }: RpcMessage): boolean {
  return typeof (params?.["_meta"] as Record<string, unknown> | undefined)?.[VERSION_KEY] === "string";
}

/** What a well-behaved server answers. Undefined to a notification. */
export function replyTo(message: RpcMessage, settings: McpSettings): RpcReply | undefined {
  const { id, method } = message;
  if (id === undefined || method === undefined) return undefined;
  const modern = isModern(message);
  if (modern && settings.era === "legacy") return errorReply(id, -32_601, `Method not found: ${method}`);
  if (!modern && settings.era === "modern")
    return errorReply(id, -32_022, "Unsupported protocol version", { supported: [MODERN_VERSION], requested: "none" });
  const error = method === "tools/call" ? faultOf(settings.faults, "error") : undefined;
  if (error) return errorReply(id, error.code, error.message);
  const result = resultOf(method, message.params ?? {}, settings, modern);
  if (result === undefined) return errorReply(id, -32_601, `Method not found: ${method}`);
  if ("code" in result) return errorReply(id, result.code, result.message);
  return {
    jsonrpc: "2.0",
    id,
    result: modern ? { resultType: "complete", ttlMs: 0, cacheScope: "private", ...result.result } : result.result,
  };
}

/** An answer to a call with so many bytes of text. Its id comes last, as most servers write it. */
export function longReply({ id, result }: RpcReply, bytes = 10_000_000): object {
  return { result: { ...result, content: [{ type: "text", text: "x".repeat(bytes) }] }, jsonrpc: "2.0", id };
}

export function errorReply(id: string | number, code: number, message: string, data?: unknown): RpcReply {
  return { jsonrpc: "2.0", id, error: { code, message, ...(data !== undefined && { data }) } };
}

type Outcome =
  | { readonly result: Readonly<Record<string, unknown>> }
  | { readonly code: number; readonly message: string };

function resultOf(
  method: string,
  params: Readonly<Record<string, unknown>>,
  settings: McpSettings,
  modern: boolean,
): Outcome | undefined {
  const { name, tools } = settings;
  const serverInfo = { name, version: "1.0.0" };
  switch (method) {
    case "initialize":
      return modern
        ? undefined
        : { result: { protocolVersion: LEGACY_VERSION, capabilities: CAPABILITIES, serverInfo } };
    case "server/discover":
      return modern
        ? {
            result: {
              supportedVersions: [MODERN_VERSION],
              capabilities: CAPABILITIES,
              _meta: { "io.modelcontextprotocol/serverInfo": serverInfo },
            },
          }
        : undefined;
    case "ping":
      return modern ? undefined : { result: {} };
    case "tools/list":
      return { result: { tools: tools.map((tool) => listed(tool)) } };
    case "tools/call":
      return callResult(params, settings);
    case "resources/list":
      return { result: { resources: [{ uri: `test://${name}`, name }] } };
    case "resources/read":
      return { result: { contents: [{ uri: params["uri"], text: `${name} ${String(params["uri"])}` }] } };
    case "prompts/list":
      return { result: { prompts: [{ name: "greet" }] } };
    case "prompts/get":
      return { result: { messages: [{ role: "user", content: { type: "text", text: `${name} greets` } }] } };
    case "completion/complete":
      return { result: { completion: { values: [name] } } };
    case "logging/setLevel":
      return modern ? undefined : { result: {} };
    default:
      return undefined;
  }
}

function callResult(params: Readonly<Record<string, unknown>>, { name, tools, faults }: McpSettings): Outcome {
  const tool = tools.find((one) => one.name === params["name"]);
  if (!tool) return { code: -32_602, message: `Unknown tool: ${String(params["name"])}` };
  const wrong = faultOf(faults, "wrong-answer");
  const text = wrong?.text ?? tool.text ?? `${name} ${tool.name} ${JSON.stringify(params["arguments"] ?? {})}`;
  const { isError, structuredContent } = tool;
  return {
    result: {
      content: [{ type: "text", text }],
      ...(isError === true && { isError }),
      ...(structuredContent !== undefined && { structuredContent }),
    },
  };
}

function listed({ name, annotations, inputSchema = { type: "object" }, outputSchema }: McpTool): object {
  return { name, inputSchema, ...(annotations && { annotations }), ...(outputSchema && { outputSchema }) };
}

/** The notifications of progress that a call asks for with `arguments.steps`, if it has a token for them. */
export function progressOf({ params }: RpcMessage): readonly RpcMessage[] {
  const token = (params?.["_meta"] as Record<string, unknown> | undefined)?.["progressToken"];
  const steps = Number((params?.["arguments"] as Record<string, unknown> | undefined)?.["steps"] ?? 0);
  if (token === undefined) return [];
  return Array.from({ length: steps }, (_none, index) => ({
    jsonrpc: "2.0",
    method: "notifications/progress",
    params: { progressToken: token, progress: index + 1, total: steps },
  }));
}
