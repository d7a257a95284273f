import { Pool } from "undici";

export const PROTOCOL = "2025-11-25";
const CURRENT = "2026-07-28";
const HEADERS = { "content-type": "application/json", accept: "application/json, text/event-stream" };
export const CLIENT = { name: "bench", version: "1.0.0" };

export interface Answered {
  readonly status: number;
  /** Of the request. */
  readonly id: number | undefined;
  readonly text: string;
  readonly session: string | undefined;
}

/** As JSON-RPC has it. */
interface Message {
  readonly id?: number;
  readonly [field: string]: unknown;
}

/** A tool and its arguments, as `tools/call` takes them. */
export interface ToolUse {
  readonly name: string;
  readonly arguments: object;
}

/**
 * Speaks MCP over HTTP by hand: whatever a client library costs would hide what a server does.
 */
export class McpHttp implements AsyncDisposable {
  readonly #pool: Pool;
  readonly #path: string;
  #id = 0;

  /** @param options `connections`: at most so many; default: as many as there are requests at a time. */
  constructor(url: string, options: { readonly connections?: number } = {}) {
    const { origin, pathname } = new URL(url);
    this.#pool = new Pool(origin, { connections: options.connections ?? null, headersTimeout: 0, bodyTimeout: 0 });
    this.#path = pathname;
  }

  async post(
    message: Message,
    headers: Readonly<Record<string, string>> = {},
    signal?: AbortSignal,
  ): Promise<Answered> {
    return (await this.#begin(message, headers, signal))();
  }

  /** Opens a session. @returns its id */
  async open(headers: Readonly<Record<string, string>> = {}): Promise<string> {
    const params = { protocolVersion: PROTOCOL, capabilities: {}, clientInfo: CLIENT };
    const { session, status } = await this.post(this.#request("initialize", params), headers);
    if (session === undefined) throw new Error(`No session was opened (${status}).`);
    await this.post({ jsonrpc: "2.0", method: "notifications/initialized" }, { ...headers, ...inSession(session) });
    return session;
  }

  async call(
    session: string,
    use: ToolUse,
    headers: Readonly<Record<string, string>> = {},
    signal?: AbortSignal,
  ): Promise<Answered> {
    return this.post(this.#request("tools/call", use), { ...headers, ...inSession(session) }, signal);
  }

  /** Any other request. */
  async ask(session: string, method: string, params: object): Promise<Answered> {
    return this.post(this.#request(method, params), inSession(session));
  }

  /** A call by the protocol that knows no sessions. */
  async callCurrent(use: ToolUse): Promise<Answered> {
    const _meta = {
      "io.modelcontextprotocol/protocolVersion": CURRENT,
      "io.modelcontextprotocol/clientInfo": CLIENT,
      "io.modelcontextprotocol/clientCapabilities": {},
    };
    return this.post(this.#request("tools/call", { ...use, _meta }), {
      "mcp-protocol-version": CURRENT,
      "mcp-method": "tools/call",
      "mcp-name": use.name,
    });
  }

  /**
   * Begins a call, and cancels it some time after the server has begun with it.
   * @returns what the call was answered all the same
   */
  async cancelled(
    session: string,
    use: ToolUse,
    headers: Readonly<Record<string, string>>,
    wait: () => Promise<unknown>,
  ): Promise<Answered> {
    const all = { ...headers, ...inSession(session) };
    const request = this.#request("tools/call", use);
    const rest = await this.#begin(request, all);
    await wait();
    await this.post({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: request.id } }, all);
    return rest();
  }

  async end(session: string): Promise<void> {
    const { body } = await this.#pool.request({ method: "DELETE", path: this.#path, headers: inSession(session) });
    await body.dump();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }

  #request(method: string, params: object): Message {
    return { jsonrpc: "2.0", id: ++this.#id, method, params };
  }

  /** Resolves with the head of the answer, to what reads the rest. */
  async #begin(
    message: Message,
    headers: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<() => Promise<Answered>> {
    const {
      statusCode,
      headers: got,
      body,
    } = await this.#pool.request({
      method: "POST",
      path: this.#path,
      headers: { ...HEADERS, ...headers },
      body: JSON.stringify(message),
      ...(signal && { signal }),
    });
    const session = got["mcp-session-id"];
    return async () => ({
      status: statusCode,
      id: message.id,
      text: await body.text(),
      session: typeof session === "string" ? session : undefined,
    });
  }
}

function inSession(session: string): Record<string, string> {
  return { "mcp-session-id": session, "mcp-protocol-version": PROTOCOL };
}
