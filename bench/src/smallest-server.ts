import { toNodeHandler } from "@modelcontextprotocol/node";
import { Server, createMcpHandler } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { Pool } from "undici";
import { serveHttp, withSessions, type Handler } from "./smallest-http.ts";

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
else if (how === "sessions") serveHttp(withSessions(createProtocolServer));
else serveHttp(toNodeHandler(createMcpHandler(createProtocolServer)) as Handler);
