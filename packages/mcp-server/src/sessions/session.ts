import { describeError, type Clock, type Log } from "@davpool/core";
import {
  WebStandardStreamableHTTPServerTransport,
  type AuthInfo,
  type JSONRPCMessage,
  type RequestId,
  type Server,
} from "@modelcontextprotocol/server";
import { LastingClient } from "../lasting-client.ts";
import { INVALID_REQUEST, SAME_ID } from "../rpc-errors.ts";
import { EventMemory } from "./event-memory.ts";

/** Milliseconds that a client is asked to wait before it takes up a stream that broke off. */
const RECONNECT = 1_000;

/** JSON-RPC code of an answer that nobody waits for any more; it ends the stream. */
export const CANCELLED = -32_800;

/** What is read of an HTTP request. */
export interface Exchange {
  readonly request: Request;
  /** The body, parsed; undefined for GET and DELETE. */
  readonly body: unknown;
  readonly auth: AuthInfo | undefined;
}

/** A call of a client's, and what aborts when nobody waits for it any more. */
export interface Running<T> {
  readonly result: Promise<T>;
  readonly cancelled: AbortSignal;
}

export interface SessionParts {
  readonly clock: Clock;
  readonly log: Log;
  /** Makes the protocol server behind it. */
  readonly createServer: (client: LastingClient) => Server;
  /** The client ended it, or it cannot be repaired. */
  readonly ended: (session: Session) => void;
  readonly recovered: () => void;
}

/** One client's session of the 2025 protocols: a protocol server with its transport, kept warm between requests. */
export class Session {
  readonly id: string;
  /** Whoever opened it; nobody else may use it. */
  readonly principal: string | undefined;
  readonly createdAt: number;
  lastUsedAt: number;
  requests = 0;
  /** Requests and streams that are open. */
  open = 0;
  readonly #parts: SessionParts;
  readonly #events: EventMemory;
  /** Calls that run outside of the protocol server. */
  readonly #running = new Map<RequestId, AbortController>();
  /** Requests that the protocol server has not answered yet. */
  readonly #asked = new Set<RequestId>();
  readonly #client = new LastingClient();
  #initialize: JSONRPCMessage | undefined;
  #server!: Server;
  #transport!: WebStandardStreamableHTTPServerTransport;
  #broken = false;
  #closed = false;
  #repair: Promise<void> | undefined;

  constructor(id: string, principal: string | undefined, parts: SessionParts) {
    this.id = id;
    this.principal = principal;
    this.#parts = parts;
    this.createdAt = parts.clock.now();
    this.lastUsedAt = this.createdAt;
    this.#events = new EventMemory(parts.clock);
  }

  get idleFor(): number {
    return this.open > 0 ? 0 : this.#parts.clock.now() - this.lastUsedAt;
  }

  get age(): number {
    return this.#parts.clock.now() - this.createdAt;
  }

  get broken(): boolean {
    return this.#broken && !this.#closed;
  }

  /** The client has opened it. */
  get isOpen(): boolean {
    return this.#initialize !== undefined && !this.#broken && !this.#closed;
  }

  /** The client has made a request. */
  used(): void {
    this.lastUsedAt = this.#parts.clock.now();
    this.requests++;
  }

  /** The protocol that both have agreed on. */
  get protocolVersion(): string | undefined {
    return this.#server.getNegotiatedProtocolVersion();
  }

  /**
   * Runs a call of the client's that is answered elsewhere.
   * @param run its signal aborts when the client cancels the call, and when the session ends.
   * @returns undefined while another request has this id.
   */
  run<T>(id: RequestId, run: (cancelled: AbortSignal) => Promise<T>): Running<T> | undefined {
    if (this.#isTaken(id)) return undefined;
    const controller = new AbortController();
    const { signal: cancelled } = controller;
    this.#running.set(id, controller);
    const result = run(cancelled).finally(() => this.#ended(id, controller));
    return { result, cancelled };
  }

  /**
   * Answers one HTTP request of the client. A session that broke is repaired first, without the client noticing.
   * @param handedOver its call runs already, under its id.
   */
  async handle({ request, body, auth }: Exchange, handedOver = false): Promise<Response> {
    const ids = requestIdsOf(body);
    if (!handedOver && (ids.some((id) => this.#isTaken(id)) || new Set(ids).size < ids.length))
      return Response.json(
        { jsonrpc: "2.0", id: null, error: { code: INVALID_REQUEST, message: SAME_ID } },
        { status: 400 },
      );
    if (!this.#initialize) await this.#connect();
    else if (this.#repair || this.#broken) await this.repair();
    const initialize = isInitialize(body) ? body : undefined;
    for (const id of ids) this.#asked.add(id);
    const response = await this.#transport.handleRequest(request, {
      ...(body !== undefined && { parsedBody: body }),
      ...(auth && { authInfo: auth }),
    });
    if (!response.ok) for (const id of ids) this.#asked.delete(id);
    if (initialize && response.ok) this.#initialize = initialize;
    for (const message of Array.isArray(body) ? body : [body]) this.#endCancelled(message);
    return response;
  }

  /** The protocol's own code would leave the stream of a cancelled request open for as long as the client keeps it. */
  #endCancelled(received: unknown): void {
    const { method, params } = (received ?? {}) as { method?: unknown; params?: { requestId?: unknown } };
    const id = params?.requestId;
    if (method !== "notifications/cancelled" || (typeof id !== "string" && typeof id !== "number")) return;
    const message = "The client cancelled the request.";
    const running = this.#running.get(id);
    running?.abort(new Error(message));
    if (running) this.#ended(id, running);
    this.#transport
      .send({ jsonrpc: "2.0", id, error: { code: CANCELLED, message } })
      .catch((error: unknown) => this.#parts.log.debug(`Nothing was left to cancel: ${describeError(error)}`));
  }

  #isTaken(id: RequestId): boolean {
    return this.#running.has(id) || this.#asked.has(id);
  }

  /** Its id may be used again. */
  #ended(id: RequestId, call: AbortController): void {
    if (this.#running.get(id) === call) this.#running.delete(id);
  }

  /** Builds it anew behind the same id, from what the client said when it opened it. */
  repair(): Promise<void> {
    return (this.#repair ??= this.#rebuild().finally(() => (this.#repair = undefined)));
  }

  /** Forgets what nobody will ask for any more. */
  sweep(): void {
    this.#events.sweep();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#end();
    await this.#server?.close();
  }

  #end(): void {
    this.#closed = true;
    this.#client.gone = true;
    for (const controller of this.#running.values()) controller.abort(new Error("The session has ended."));
  }

  async #rebuild(): Promise<void> {
    await this.#connect();
    const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };
    const post = (message: unknown, more: Record<string, string> = {}) =>
      this.#transport.handleRequest(
        new Request("http://localhost/mcp", { method: "POST", headers: { ...headers, ...more } }),
        {
          parsedBody: message,
        },
      );
    await (await post(this.#initialize)).body?.cancel();
    await post({ jsonrpc: "2.0", method: "notifications/initialized" }, { "mcp-session-id": this.id });
    this.#parts.recovered();
    this.#parts.log.info("A session was repaired.", { requests: this.requests });
  }

  async #connect(): Promise<void> {
    const server = this.#parts.createServer(this.#client);
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => this.id,
      eventStore: this.#events,
      retryInterval: RECONNECT,
      onsessionclosed: () => {
        this.#end();
        this.#parts.ended(this);
      },
    });
    this.#asked.clear();
    const send = transport.send.bind(transport);
    transport.send = (message, options) => {
      if (!("method" in message) && message.id !== undefined) this.#asked.delete(message.id);
      return send(message, options);
    };
    this.#broken = false;
    this.#server = server;
    this.#transport = transport;
    server.onerror = (error) =>
      this.#parts.log.debug(`A client's session reported: ${describeError(error)}`, { requests: this.requests });
    const { onclose } = server;
    await server.connect(transport);
    server.onclose = () => {
      onclose?.();
      if (this.#transport === transport) this.#broken = true;
    };
  }
}

/** The ids of the requests that a client has posted, one or several. */
function requestIdsOf(body: unknown): readonly RequestId[] {
  return (Array.isArray(body) ? (body as unknown[]) : [body]).flatMap((message) => {
    const { id, method } = (message ?? {}) as { readonly id?: unknown; readonly method?: unknown };
    return method !== undefined && (typeof id === "string" || typeof id === "number") ? id : [];
  });
}

function isInitialize(body: unknown): body is JSONRPCMessage {
  return typeof body === "object" && body !== null && (body as { method?: unknown }).method === "initialize";
}
