import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { LOG_LEVEL_META_KEY, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Server, createMcpHandler } from "@modelcontextprotocol/server";
import { expect, test } from "vitest";
import { startHttpServer } from "../testing/http-server.test-support.ts";
import { FeatureClient } from "./testing/feature-client.test-support.ts";

/** A server of 2026-07-28 whose tool says something while it works, to those who want to hear it. */
function talkingServer(): Server {
  const server = new Server({ name: "talking", version: "1" }, { capabilities: { tools: {}, logging: {} } });
  server.setRequestHandler("tools/list", () => ({ tools: [{ name: "work", inputSchema: { type: "object" } }] }));
  server.setRequestHandler("tools/call", async (_request, { mcpReq }) => {
    await mcpReq.notify({ method: "notifications/message", params: { level: "debug", data: "small" } });
    await mcpReq.notify({ method: "notifications/message", params: { level: "error", data: "large" } });
    return { content: [] };
  });
  return server;
}

test("log messages of a request of 2026-07-28 reach whoever made it, from the level that it asks for", async () => {
  const handler = createMcpHandler(talkingServer);
  const listener = getRequestListener((request) => handler.fetch(request), { overrideGlobalObjects: false });
  const web = createServer((request, response) => void listener(request, response)).listen(0, "127.0.0.1");
  await once(web, "listening");
  {
    const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}/mcp`;
    await using davpool = await startHttpServer(
      { pools: { up: { transport: "mcp", servers: [{ serverId: "s", url, era: "modern" }] } } },
      { systemTime: true },
    );
    const connect = () =>
      FeatureClient.connect("2.x, 2026-07-28", new StreamableHTTPClientTransport(new URL(davpool.url)));
    await using one = await connect();
    await using other = await connect();
    await one.client.callTool({ name: "work", _meta: { [LOG_LEVEL_META_KEY]: "warning" } });
    await other.client.callTool({ name: "work" });
    const said = ({ heard }: FeatureClient) =>
      heard.filter(({ method }) => method === "notifications/message").map(({ params }) => params["data"]);
    expect(said(one)).toEqual(["large"]);
    expect(said(other)).toEqual([]);
  }
  web.closeAllConnections();
  web.close();
  await handler.close();
});
