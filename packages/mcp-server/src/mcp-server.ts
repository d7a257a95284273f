import { describeError, isDavpoolError, version, type Log } from "@davpool/core";
import { ProtocolError, ProtocolErrorCode, Server, type CallToolResult } from "@modelcontextprotocol/server";
import type { Tool } from "./tools/tool.ts";

const INSTRUCTIONS =
  "Several WebDAV servers behave as one file store. Send requests without serverId and the pool picks a server and fails over; look at dav_list_servers when something seems wrong.";

/**
 * A maker of protocol servers over one table of tools. Each connection gets a server of its own, because one server
 * must not be shared between clients; the table is made once.
 */
export function serverFactory(tools: readonly Tool[], log: Log): () => Server {
  const table = new Map(tools.map((tool) => [tool.name, tool]));
  const list = { tools: tools.map((tool) => tool.definition) };
  return () => {
    const server = new Server(
      { name: "davpool", version },
      { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
    );
    server.setRequestHandler("tools/list", () => list as never);
    server.setRequestHandler("tools/call", (request, context) => {
      const { name, arguments: written } = request.params;
      const tool = table.get(name);
      if (!tool)
        throw new ProtocolError(
          ProtocolErrorCode.InvalidParams,
          `There is no tool "${name}". Tools: ${[...table.keys()].join(", ")}.`,
        );
      return callTool(tool, written, context.mcpReq.signal, log);
    });
    return server;
  };
}

async function callTool(tool: Tool, written: unknown, signal: AbortSignal, log: Log): Promise<CallToolResult> {
  try {
    const { value, isError } = await tool.run(written, { signal, caller: {} });
    return result(value, isError ?? false);
  } catch (error) {
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
