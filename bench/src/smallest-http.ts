import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { NodeStreamableHTTPServerTransport } from "@modelcontextprotocol/node";
import { isInitializeRequest, type Server } from "@modelcontextprotocol/server";

export type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Serves on a free port, which it sends to the process that started this one, and ends with that process. */
export function serveHttp(answer: Handler): void {
  const web = createServer((request, response) => void answer(request, response));
  web.listen(0, "127.0.0.1", () => process.send?.((web.address() as AddressInfo).port));
  process.on("SIGINT", () => {});
  process.once("disconnect", () => process.exit());
}

/** The least that serves 2025-era sessions: a server and the SDK's transport for each. */
export function withSessions(createProtocolServer: () => Server | Promise<Server>): Handler {
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
    const server = await createProtocolServer();
    await server.connect(transport);
    return transport.handleRequest(request, response, body);
  };
}
