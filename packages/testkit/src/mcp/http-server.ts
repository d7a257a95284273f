import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { text } from "node:stream/consumers";
import { checkMcpFault } from "./mcp-fault-fields.ts";
import { faultOf, type McpFault } from "./mcp-fault.ts";
import { McpLog, entryOf, type McpLogEntry } from "./mcp-log.ts";
import {
  beginsSession,
  errorReply,
  isModern,
  longReply,
  progressOf,
  replyTo,
  type RpcMessage,
  type RpcReply,
} from "./mcp-replies.ts";
import type { McpSettings, McpTool } from "./mcp-settings.ts";
import type { ActiveMcpFault, McpServer } from "./mcp-server.ts";

const STREAM = { "content-type": "text/event-stream", "cache-control": "no-cache" } as const;

/** A fake MCP server over Streamable HTTP at `/mcp`, or over the HTTP+SSE of 2024 at `/sse`. */
export class McpHttpServer implements McpServer {
  readonly log = new McpLog();
  /** Sessions that it knows, of the older era, by id; each with its open stream, if there is one. */
  readonly sessions = new Map<string, ServerResponse | undefined>();
  /** Sessions that ever began. */
  sessionsBegun = 0;
  /** Requests that it answered with 401. */
  refused = 0;
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  readonly #sockets = new Set<Socket>();
  /** The bearer token that it wants. */
  token: string | undefined;
  readonly #answersAs: "json" | "stream";
  #settings: McpSettings;
  #port: number;
  #answered = 0;
  /** Called when faults change. */
  #held: (() => void)[] = [];

  constructor(settings: McpSettings, token: string | undefined, answersAs: "json" | "stream", port: number) {
    this.#port = port;
    this.#settings = settings;
    this.token = token;
    this.#answersAs = answersAs;
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  get name(): string {
    return this.#settings.name;
  }
  get url(): string {
    return `http://127.0.0.1:${this.#port}/mcp`;
  }
  get sseUrl(): string {
    return `http://127.0.0.1:${this.#port}/sse`;
  }
  /** A server over HTTP is there already. */
  get command(): undefined {
    return undefined;
  }
  get calls(): readonly McpLogEntry[] {
    return this.log.of("tools/call");
  }

  /** Listens, on the same port as before. */
  async start(): Promise<void> {
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Goes down as a crash does: connections are destroyed, sessions forgotten. */
  async stop(): Promise<void> {
    this.sessions.clear();
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  inject(fault: McpFault): ActiveMcpFault {
    checkMcpFault("http", fault);
    this.#change([...this.#settings.faults, fault]);
    const off = () => this.#change(this.#settings.faults.filter((one) => one !== fault));
    return { off, [Symbol.dispose]: off };
  }

  clearFaults(): void {
    this.#change([]);
  }

  /** Answers 404 to whoever thinks that a session is going on. */
  loseSessions(): void {
    for (const stream of this.sessions.values()) stream?.end();
    this.sessions.clear();
  }

  changeTools(tools: readonly McpTool[]): void {
    this.#settings = { ...this.#settings, tools };
    for (const stream of this.sessions.values())
      if (stream) event(stream, { jsonrpc: "2.0", method: "notifications/tools/list_changed" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.stop();
  }

  #change(faults: readonly McpFault[]): void {
    this.#settings = { ...this.#settings, faults };
    for (const go of this.#held.splice(0)) go();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => {});
    const [path, query] = (request.url ?? "").split("?", 2);
    if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`) {
      request.resume();
      this.refused++;
      response.writeHead(401, { "www-authenticate": "Bearer" }).end();
      return;
    }
    if (path === "/sse") this.#openOldStream(response);
    else if (path === "/messages") await this.#post(request, response, new URLSearchParams(query).get("session") ?? "");
    else if (path !== "/mcp") response.writeHead(404).end();
    else if (request.method === "POST") await this.#post(request, response, undefined);
    else this.#other(request, response);
  }

  #openOldStream(response: ServerResponse): void {
    const session = this.#newSession(response);
    response.writeHead(200, STREAM);
    response.write(`event: endpoint\ndata: /messages?session=${session}\n\n`);
    response.on("close", () => this.sessions.delete(session));
  }

  /** GET opens the session's stream, DELETE ends the session. */
  #other(request: IncomingMessage, response: ServerResponse): void {
    const session = String(request.headers["mcp-session-id"]);
    if (!this.sessions.has(session)) response.writeHead(this.#settings.era === "modern" ? 405 : 404).end();
    else if (request.method === "DELETE") {
      this.sessions.get(session)?.end();
      this.sessions.delete(session);
      this.log.add({ method: "DELETE", pid: process.pid });
      response.writeHead(204).end();
    } else {
      response.writeHead(200, STREAM);
      response.flushHeaders();
      this.sessions.set(session, response);
      this.log.changed();
    }
  }

  /** @param old the session whose stream takes the answers, in the way of 2024. */
  async #post(request: IncomingMessage, response: ServerResponse, old: string | undefined): Promise<void> {
    const message = JSON.parse(await text(request)) as RpcMessage;
    const { method, id } = message;
    const begins = beginsSession(method);
    const call = method === "tools/call";
    const known = old ?? String(request.headers["mcp-session-id"]);
    const alone = isModern(message) && this.#settings.era !== "legacy";
    if (method !== "initialize" && !alone && !this.sessions.has(known)) {
      if (begins) this.log.add({ ...entryOf(message, process.pid), headers: request.headers });
      const fault = faultOf(this.#settings.faults, "unknown-session");
      if (fault && request.headers["mcp-session-id"] !== undefined) {
        response.writeHead(fault.status).end(fault.text);
        return;
      }
      const status = request.headers["mcp-session-id"] === undefined ? 400 : 404;
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify({ ...errorReply("", -32_001, "Session not found"), id: null }));
      return;
    }
    this.log.add({ ...entryOf(message, process.pid), headers: request.headers });
    for (
      let hang = faultOf(this.#settings.faults, "hang");
      hang && (hang.on === "initialize" ? begins : call);
      hang = faultOf(this.#settings.faults, "hang")
    )
      await new Promise<void>((resolve) => this.#held.push(resolve));
    if (this.#fails(request, response, begins, call)) return;
    if (id === undefined) {
      response.writeHead(202).end();
      return;
    }
    if (call) this.#answered++;
    const reply = replyTo(message, this.#settings);
    const headers =
      method === "initialize" && old === undefined ? { "mcp-session-id": this.#newSession(undefined) } : {};
    if (old === undefined) this.#answer(response, headers, message, reply);
    else {
      response.writeHead(202).end();
      const stream = this.sessions.get(old);
      const long = call ? faultOf(this.#settings.faults, "long-line") : undefined;
      const whole = long && reply ? longReply(reply, long.bytes) : reply;
      if (stream) for (const one of [...progressOf(message), whole]) if (one) event(stream, one);
    }
  }

  /** Lets the fault have its way. False when there is none. */
  #fails(request: IncomingMessage, response: ServerResponse, begins: boolean, call: boolean): boolean {
    const { faults } = this.#settings;
    const status = faultOf(faults, "status");
    if (status && (status.on === "initialize" ? begins : call)) {
      response.writeHead(status.status, status.headers).end();
      return true;
    }
    const cut = call ? faultOf(faults, "cut") : undefined;
    const crash = call ? faultOf(faults, "crash") : undefined;
    const dies = (crash && this.#answered >= crash.after) ?? (begins && faultOf(faults, "crash-before-ready"));
    if (cut?.when === "in-stream") {
      response.writeHead(200, STREAM);
      response.write(": working\n\n", () => request.socket.destroy());
      return true;
    }
    if (!cut && !dies) return false;
    request.socket.destroy();
    return true;
  }

  #answer(
    response: ServerResponse,
    headers: Readonly<Record<string, string>>,
    message: RpcMessage,
    reply: RpcReply | undefined,
  ): void {
    const { faults } = this.#settings;
    const call = message.method === "tools/call";
    const progress = progressOf(message);
    const long = call ? faultOf(faults, "long-line") : undefined;
    const whole = long && reply ? longReply(reply, long.bytes) : reply;
    if (this.#answersAs === "stream" || progress.length > 0) {
      response.writeHead(200, { ...STREAM, ...headers });
      for (const one of [...progress, whole]) if (one) event(response, one);
      response.end();
      return;
    }
    const json = JSON.stringify(whole);
    response.writeHead(200, { "content-type": "application/json", ...headers });
    response.end(call && faultOf(faults, "invalid-json") ? json.slice(0, -20) : json);
  }

  #newSession(stream: ServerResponse | undefined): string {
    const session = randomUUID();
    this.sessions.set(session, stream);
    this.sessionsBegun++;
    return session;
  }
}

function event(stream: ServerResponse, message: object): void {
  stream.write(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
}
