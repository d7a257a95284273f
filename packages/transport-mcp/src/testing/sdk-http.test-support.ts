import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { McpServer as OlderServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { McpServer, createMcpHandler } from "@modelcontextprotocol/server";

export interface SdkServer extends AsyncDisposable {
  readonly url: string;
  /** Forgets its sessions, if it has any, as a restart does. */
  forget(): void;
}

async function listen(
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  forget: () => void = () => {},
): Promise<SdkServer> {
  const server = createServer((request, response) => void answer(request, response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    forget,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Sessions, as most servers of the older SDK have them. */
export function olderOverHttp(): Promise<SdkServer> {
  const sessions = new Map<string, StreamableHTTPServerTransport>();
  return listen(
    async (request, response) => {
      const known = sessions.get(String(request.headers["mcp-session-id"]));
      if (known) return known.handleRequest(request, response);
      const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (session) => void sessions.set(session, transport),
      });
      const server = new OlderServer({ name: "older", version: "1.0.0" });
      server.registerTool("greet", { annotations: { readOnlyHint: true } }, () => ({
        content: [{ type: "text", text: "hello from the older SDK" }],
      }));
      server.registerTool("break", {}, () => {
        throw new Error("it broke");
      });
      await server.connect(transport);
      return transport.handleRequest(request, response);
    },
    () => sessions.clear(),
  );
}

export function newerOverHttp(): Promise<SdkServer> {
  const handler = createMcpHandler(() => {
    const server = new McpServer({ name: "newer", version: "1.0.0" });
    server.registerTool("greet", { annotations: { readOnlyHint: true } }, () => ({
      content: [{ type: "text", text: "hello from the newer SDK" }],
    }));
    server.registerTool("break", {}, () => {
      throw new Error("it broke");
    });
    return server;
  });
  return listen(async (request, response) => {
    const body = await buffer(request);
    const answer = await handler.fetch(
      new Request(`http://${request.headers.host}${request.url}`, {
        method: request.method ?? "GET",
        headers: Object.entries(request.headers).map(([name, value]) => [name, String(value)] as [string, string]),
        ...(body.length > 0 && { body }),
      }),
    );
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (answer.body) Readable.fromWeb(answer.body as never).pipe(response);
    else response.end();
  });
}
