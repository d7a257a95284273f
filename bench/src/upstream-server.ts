import { Server } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { serveHttp, withSessions } from "./smallest-http.ts";
import { TOOLS } from "./upstream-tools.ts";

/**
 * A server with many tools, for gateways to stand before: all of them answer with the text that they are given.
 *
 * Parameter: `stdio`, or `sessions` for HTTP.
 */
function createProtocolServer(): Server {
  const server = new Server({ name: "upstream", version: "1.0.0" }, { capabilities: { tools: {} } });
  server.setRequestHandler("tools/list", () => ({ tools: TOOLS }));
  server.setRequestHandler("tools/call", ({ params }) => ({
    content: [{ type: "text", text: String(params.arguments?.["text"]) }],
  }));
  return server;
}

if (process.argv[2] === "stdio") serveStdio(createProtocolServer);
else serveHttp(withSessions(createProtocolServer));
