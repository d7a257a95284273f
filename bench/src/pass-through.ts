import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { Server } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { serveHttp, withSessions } from "./smallest-http.ts";

/**
 * The smallest gateway that the SDK can make: a server for each session, and behind it a client of its own that asks the
 * same of the upstream server. What davpool costs is told against it.
 *
 * Parameters: `stdio` and the upstream server's command, or `sessions` for HTTP and its address.
 */
const [how, ...upstream] = process.argv.slice(2);
const [first = "", ...rest] = upstream;

async function createProtocolServer(): Promise<Server> {
  const client = new Client({ name: "pass-through", version: "1.0.0" });
  await client.connect(
    how === "stdio"
      ? new StdioClientTransport({ command: first, args: rest })
      : new StreamableHTTPClientTransport(new URL(first)),
  );
  const server = new Server({ name: "pass-through", version: "1.0.0" }, { capabilities: { tools: {} } });
  server.setRequestHandler("tools/list", ({ params }) =>
    client.request({ method: "tools/list", ...(params && { params }) }),
  );
  server.setRequestHandler("tools/call", ({ params }) => client.request({ method: "tools/call", params }));
  server.onclose = () => void client.close();
  return server;
}

if (how === "stdio") serveStdio(createProtocolServer);
else serveHttp(withSessions(createProtocolServer));
