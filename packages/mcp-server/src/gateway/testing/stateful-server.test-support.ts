import { randomUUID } from "node:crypto";
import { createServer as createWebServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { getRequestListener } from "@hono/node-server";
import { Server, WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/server";
import { StdioServerTransport } from "@modelcontextprotocol/server/stdio";

const PROGRAM = fileURLToPath(import.meta.url);
const text = (value: unknown) => ({ content: [{ type: "text" as const, text: JSON.stringify(value) }] });

/** A server that remembers one thing for each session, and asks its client about it. */
export function statefulServer(told: (what: string) => void = () => {}): Server {
  let remembered: unknown;
  const server = new Server(
    { name: "stateful", version: "1.0.0" },
    { capabilities: { tools: {}, logging: {}, resources: { subscribe: true } } },
  );
  const tools = ["remember", "recall", "ask", "consult", "shout", "pid"].map((name) => ({
    name,
    inputSchema: { type: "object" as const },
    annotations: { readOnlyHint: name !== "remember" },
  }));
  server.setRequestHandler("tools/list", () => ({ tools }));
  server.setRequestHandler("resources/list", () => ({ resources: [] }));
  server.setRequestHandler("resources/subscribe", ({ params }) => {
    told(`subscribe ${params.uri}`);
    return {};
  });
  server.setRequestHandler("resources/unsubscribe", ({ params }) => {
    told(`unsubscribe ${params.uri}`);
    return {};
  });
  server.setRequestHandler("tools/call", async ({ params }, context) => {
    switch (params.name) {
      case "remember":
        remembered = params.arguments?.["value"];
        return text("remembered");
      case "recall":
        return text(remembered ?? null);
      case "ask": {
        // Related to no request, so that only the session tells whose it is.
        const answer = await server.request({
          method: "sampling/createMessage",
          params: { maxTokens: 10, messages: [{ role: "user", content: { type: "text", text: String(remembered) } }] },
        });
        return text((answer as { content: { text: string } }).content.text);
      }
      case "consult": {
        const params = { maxTokens: 10, messages: [] };
        const answer = await context.mcpReq.send({ method: "sampling/createMessage", params });
        return text((answer as { content: { text: string } }).content.text);
      }
      case "shout":
        await server.sendLoggingMessage({ level: "warning", data: remembered });
        await server.sendResourceUpdated({ uri: `state:///${String(remembered)}` });
        await context.mcpReq.notify({
          method: "notifications/message",
          params: { level: "error", data: remembered },
        });
        return text("shouted");
      default:
        return text(process.pid);
    }
  });
  return server;
}

/** The command that runs one. */
export const STATEFUL_COMMAND = [process.execPath, PROGRAM, "run"] as const;

export interface StatefulHttpServer extends AsyncDisposable {
  readonly url: string;
  /** Sessions that are open. */
  readonly sessions: ReadonlyMap<string, unknown>;
  /** Resolves when somebody subscribes to this resource. */
  subscribed(uri: string): Promise<void>;
  unsubscribed(uri: string): Promise<void>;
  /** Tells everybody that it has changed. */
  updated(uri: string): Promise<void>;
}

/** Serves as many sessions as are opened, in this process. */
export async function startStatefulServer(): Promise<StatefulHttpServer> {
  const sessions = new Map<string, WebStandardStreamableHTTPServerTransport>();
  const servers = new Set<Server>();
  const waiting = new Map<string, () => void>();
  const hears = (what: string) => new Promise<void>((resolve) => void waiting.set(what, resolve));
  const answer = async (request: Request): Promise<Response> => {
    const id = request.headers.get("mcp-session-id");
    if (id !== null) return (await sessions.get(id)?.handleRequest(request)) ?? new Response(null, { status: 404 });
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (opened) => void sessions.set(opened, transport),
      onsessionclosed: (closed) => void sessions.delete(closed ?? ""),
    });
    const server = statefulServer((what) => waiting.get(what)?.());
    servers.add(server);
    await server.connect(transport);
    return transport.handleRequest(request);
  };
  const listener = getRequestListener(answer, { overrideGlobalObjects: false });
  const web = createWebServer((request, response) => void listener(request, response)).listen(0, "127.0.0.1");
  await once(web, "listening");
  return {
    url: `http://127.0.0.1:${(web.address() as AddressInfo).port}/mcp`,
    sessions,
    subscribed: (uri) => hears(`subscribe ${uri}`),
    unsubscribed: (uri) => hears(`unsubscribe ${uri}`),
    async updated(uri) {
      const connected = [...servers].filter(({ transport }) => transport !== undefined);
      await Promise.all(connected.map((server) => server.sendResourceUpdated({ uri })));
    },
    async [Symbol.asyncDispose]() {
      for (const transport of sessions.values()) await transport.close();
      web.closeAllConnections();
      web.close();
      await once(web, "close");
    },
  };
}

if (process.argv[1] === PROGRAM && process.argv[2] === "run")
  await statefulServer().connect(new StdioServerTransport());
