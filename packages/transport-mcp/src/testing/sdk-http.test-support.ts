import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { McpServer as OlderServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { WebStandardStreamableHTTPServerTransport as OlderTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import {
  McpServer,
  WebStandardStreamableHTTPServerTransport as NewerTransport,
  createMcpHandler,
  type McpHttpHandler,
} from "@modelcontextprotocol/server";
import { newerAsking, olderAsking } from "./asking-servers.test-support.ts";

export interface SdkServer extends AsyncDisposable {
  readonly url: string;
  /** Forgets its sessions, if it has any, as a restart does. */
  forget(): void;
  /** Breaks off whatever is open. */
  interrupt(): void;
  /** How many GET requests came in. */
  readonly streams: () => number;
}

async function listen(
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  forget: () => void = () => {},
): Promise<SdkServer> {
  let streams = 0;
  const server = createServer((request, response) => {
    if (request.method === "GET") streams++;
    void answer(request, response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    forget,
    streams: () => streams,
    interrupt: () => server.closeAllConnections(),
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

/** A server that asks its client, with a state for each session. */
export async function askingOverHttp(
  line: "older" | "newer",
): Promise<SdkServer & { readonly sessions: () => number }> {
  const sessions = new Map<string, { handleRequest(request: Request): Promise<Response> }>();
  const options = {
    sessionIdGenerator: randomUUID,
    onsessionclosed: (session: string) => void sessions.delete(session),
    eventStore: eventStore(),
    retryInterval: 10,
  };
  const begun = async () => {
    if (line === "older") {
      const transport: OlderTransport = new OlderTransport({
        ...options,
        onsessioninitialized: (session) => void sessions.set(session, transport),
      });
      await olderAsking().connect(transport);
      return transport;
    }
    const transport: NewerTransport = new NewerTransport({
      ...options,
      onsessioninitialized: (session) => void sessions.set(session, transport),
    });
    await newerAsking().connect(transport);
    return transport;
  };
  const server = await listen(async (request, response) => {
    const known = sessions.get(String(request.headers["mcp-session-id"])) ?? (await begun());
    await pass(request, response, (asked) => known.handleRequest(asked));
  });
  return Object.assign(server, { sessions: () => sessions.size });
}

/** The same over the HTTP+SSE of 2024. */
export async function askingOverSse(): Promise<SdkServer> {
  const sessions = new Map<string, SSEServerTransport>();
  return listen(async (request, response) => {
    if (request.method === "GET") {
      const transport = new SSEServerTransport("/messages", response);
      sessions.set(transport.sessionId, transport);
      return olderAsking().connect(transport);
    }
    const session = new URL(request.url ?? "", "http://localhost").searchParams.get("sessionId") ?? "";
    return sessions.get(session)?.handlePostMessage(request, response);
  });
}

/** Keeps what streams carried, so that they can be taken up again. */
function eventStore() {
  const events: { readonly stream: string; readonly message: never }[] = [];
  return {
    storeEvent(stream: string, message: unknown) {
      events.push({ stream, message: message as never });
      return Promise.resolve(String(events.length - 1));
    },
    getStreamIdForEventId: (id: string) => Promise.resolve(events[Number(id)]?.stream),
    async replayEventsAfter(last: string, { send }: { send: (id: string, message: never) => Promise<void> }) {
      const stream = events[Number(last)]?.stream ?? "";
      for (const [id, event] of events.entries())
        if (id > Number(last) && event.stream === stream && Object.keys(event.message).length > 0)
          await send(String(id), event.message);
      return stream;
    },
  };
}

/** Of the modern era, telling what changes to whoever listens. */
export async function tellingOverHttp(): Promise<SdkServer & { readonly handler: McpHttpHandler }> {
  const handler = createMcpHandler(() => newerAsking(), { legacy: "reject" });
  const server = await listen((request, response) => pass(request, response, handler.fetch));
  return Object.assign(server, { handler });
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
  return listen((request, response) => pass(request, response, handler.fetch));
}

/** As the web has requests and responses. */
async function pass(
  request: IncomingMessage,
  response: ServerResponse,
  answer: (request: Request) => Promise<Response>,
): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const body = await buffer(request);
  const given = await answer(
    new Request(`http://${request.headers.host}${request.url}`, {
      method: request.method ?? "GET",
      headers: Object.entries(request.headers).map(([name, value]) => [name, String(value)] as [string, string]),
      signal: gone.signal,
      ...(body.length > 0 && { body }),
    }),
  );
  response.writeHead(given.status, Object.fromEntries(given.headers));
  response.flushHeaders();
  if (!given.body) {
    response.end();
    return;
  }
  const flowing = Readable.fromWeb(given.body as never).on("error", () => {});
  response.on("close", () => flowing.destroy());
  flowing.pipe(response);
}
