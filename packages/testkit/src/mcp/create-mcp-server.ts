import { McpHttpServer } from "./http-server.ts";
import { checkMcpFault } from "./mcp-fault-fields.ts";
import type { McpFault } from "./mcp-fault.ts";
import { DEFAULT_TOOLS, type McpEra, type McpTool } from "./mcp-settings.ts";
import { McpStdioServer } from "./stdio-server.ts";

export interface McpServerOptions {
  /** Stands at the beginning of all that it answers. Default: `server-1`. */
  readonly name?: string;
  /** Default: `both`. */
  readonly era?: McpEra;
  /** Default: `read`, `put`, `add` and `fail`. */
  readonly tools?: readonly McpTool[];
  readonly faults?: readonly McpFault[];
}

export interface McpStdioServerOptions extends McpServerOptions {
  readonly transport: "stdio";
  /** The process starts another one, which would outlive it. */
  readonly helper?: boolean;
}

export interface McpHttpServerOptions extends McpServerOptions {
  readonly transport: "http";
  /** The bearer token that it wants. */
  readonly token?: string;
  /** How requests are answered. Default: `json`. */
  readonly answersAs?: "json" | "stream";
  /** Default: any that is free. */
  readonly port?: number;
}

/**
 * A fake MCP server: over stdio, where its `command` is to be started as often as one likes, or over HTTP, where it
 * listens at its `url`.
 */
export async function createMcpServer(options: McpStdioServerOptions): Promise<McpStdioServer>;
export async function createMcpServer(options: McpHttpServerOptions): Promise<McpHttpServer>;
export async function createMcpServer(
  options: McpStdioServerOptions | McpHttpServerOptions,
): Promise<McpStdioServer | McpHttpServer> {
  const { name = "server-1", era = "both", tools = DEFAULT_TOOLS, faults = [] } = options;
  for (const fault of faults) checkMcpFault(options.transport, fault);
  const settings = { name, era, tools, faults };
  if (options.transport === "stdio") {
    const server = new McpStdioServer(settings, options.helper ?? false);
    await server.listen();
    return server;
  }
  const server = new McpHttpServer(settings, options.token, options.answersAs ?? "json", options.port ?? 0);
  await server.start();
  return server;
}

/** A command that is not to be found on any machine. */
export const MISSING_COMMAND = "davpool-testkit-no-such-command";
