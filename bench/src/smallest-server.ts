import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { randomUUID } from "node:crypto";
import { NodeStreamableHTTPServerTransport, toNodeHandler } from "@modelcontextprotocol/node";
import { Server, createMcpHandler, isInitializeRequest } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { Pool } from "undici";

/**
 * The smallest server that the SDK can make: one tool, which makes one request with undici. What davpool costs is told
 * against it.
 *
 * Parameters: `stdio`, or `sessions` or `stateless` for HTTP; and the address of the file. With HTTP it sends its port
 * to the process that started it.
 */
const [how, address = ""] = process.argv.slice(2);
const { origin, pathname } = new URL(address);
const pool = new Pool(origin, { connections: 64 });
const tools = [{ name: "get", inputSchema: { type: "object" as const } }];

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

function createProtocolServer(): Server {
  const server = new Server({ name: "smallest", version: "1.0.0" }, { capabilities: { tools: {} } });
  server.setRequestHandler("tools/list", () => ({ tools }));
  server.setRequestHandler("tools/call", async () => {
    const { body } = await pool.request({ method: "GET", path: pathname });
    return { content: [{ type: "text", text: await body.text() }] };
  });
  return server;
}

if (how === "stdio") serveStdio(createProtocolServer);
else {
  const stateless = toNodeHandler(createMcpHandler(createProtocolServer)) as Handler;
  const answer = how === "sessions" ? withSessions() : stateless;
  const web = createServer((request, response) => void answer(request, response));
  web.listen(0, "127.0.0.1", () => process.send?.((web.address() as AddressInfo).port));
  process.on("SIGINT", () => {});
  process.once("disconnect", () => process.exit());
}

function withSessions(): Handler {
  const sessions = new Map<string, NodeStreamableHTTPServerTransport>();
  return async (request, response) => {
    const id = request.headers["mcp-session-id"];
    const known = typeof id === "string" ? sessions.get(id) : undefined;
    if (known) return known.handleRequest(request, response);
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
    if (!isInitializeRequest(body)) return void response.writeHead(404).end();
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (opened) => void sessions.set(opened, transport),
      onsessionclosed: (closed) => void sessions.delete(closed ?? ""),
    });
    await createProtocolServer().connect(transport);
    return transport.handleRequest(request, response, body);
  };
}
