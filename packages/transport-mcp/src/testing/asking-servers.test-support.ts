import { Server as OlderServer } from "@modelcontextprotocol/sdk/server/index.js";
import { CallToolRequestSchema, ListToolsRequestSchema, ResultSchema } from "@modelcontextprotocol/sdk/types.js";
import { Server } from "@modelcontextprotocol/server";
import { SessionState, TOOLS, textOfTool, type Side } from "./asking.test-support.ts";

/* The tools of asking.test-support.ts, with both lines of the official SDK. */

const CAPABILITIES = {
  tools: { listChanged: true },
  resources: { listChanged: true, subscribe: true },
  logging: {},
};
const ANYTHING = {
  "~standard": { version: 1 as const, vendor: "test", validate: (value: unknown) => ({ value }) },
};

export function olderAsking(state = new SessionState()): OlderServer {
  const server = new OlderServer({ name: "older", version: "1.0.0" }, { capabilities: CAPABILITIES });
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: TOOLS }));
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
    const side: Side = {
      ask: (method, asked, options) => extra.sendRequest({ method, params: asked }, ResultSchema, options),
      askAlone: (method, asked) => server.request({ method, params: asked }, ResultSchema),
      say: (method, said) => extra.sendNotification({ method, params: said }),
      interrupt: () => extra.closeSSEStream?.(),
    };
    const text = await textOfTool(params.name, params.arguments ?? {}, side, state);
    return { content: [{ type: "text", text }] };
  });
  return server;
}

export function newerAsking(state = new SessionState()): Server {
  const server = new Server({ name: "newer", version: "1.0.0" }, { capabilities: CAPABILITIES });
  server.setRequestHandler("tools/list", () => ({ tools: TOOLS }));
  server.setRequestHandler("tools/call", async ({ params }, { mcpReq, http }) => {
    const side: Side = {
      ask: (method, asked, options) => mcpReq.send({ method, params: asked }, ANYTHING, options),
      askAlone: (method, asked) => server.request({ method, params: asked }, ANYTHING),
      say: (method, said) => mcpReq.notify({ method, params: said }),
      interrupt: () => http?.closeSSE?.(),
    };
    const text = await textOfTool(params.name, params.arguments ?? {}, side, state);
    return { content: [{ type: "text", text }] };
  });
  return server;
}
