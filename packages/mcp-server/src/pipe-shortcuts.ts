import type { JSONRPCMessage, JSONRPCRequest, RequestId, Server, ServerContext } from "@modelcontextprotocol/server";
import type { ToolOffer } from "./gateway/offers.ts";
import type { PipeTransport } from "./pipe-transport.ts";

/** What can be answered without the protocol's machinery. */
export interface Answers {
  /** The client at the other end, once it has said that it speaks a protocol of 2025. */
  client(): Server | undefined;
  /** The list of tools as JSON; undefined while servers have not said yet what they offer. */
  list(): string | undefined;
  /** A tool of another server. */
  tool(name: string): ToolOffer | undefined;
  /** Calls it. The result is the server's own, as the protocol has it. */
  call(tool: ToolOffer, written: unknown, context: ServerContext): Promise<object>;
  /** Hears of these resources until it is disposed of. */
  listen(uris: readonly string[]): Disposable;
  /** Called around each of both, for telemetry. */
  observed<T>(context: ServerContext, tool: string | undefined, run: () => T | Promise<T>): Promise<T>;
}

interface CallParameters {
  readonly name?: unknown;
  readonly arguments?: unknown;
  readonly cursor?: unknown;
  readonly requestId?: unknown;
  readonly _meta?: ServerContext["mcpReq"]["_meta"];
}

/** Streams of news that one client has use for. */
const MOST_STREAMS = 100;

/**
 * Answers lists of tools and calls of other servers' tools right where they come in. The protocol's machinery looks twice
 * at everything that passes, which costs as much as passing it on; here it is neither this server's question nor its answer.
 */
export class PipeShortcuts {
  readonly #answers: Answers;
  readonly #transport: PipeTransport;
  readonly #running = new Map<RequestId, AbortController>();
  /** Streams of news that are open. */
  readonly #listening = new Map<RequestId, Disposable>();
  /** First results that ask for more, which the machinery knows how to get from the client. */
  readonly #unfinished = new Map<RequestId, object>();

  constructor(answers: Answers, transport: PipeTransport) {
    this.#answers = answers;
    this.#transport = transport;
  }

  /** @returns false for a message that the machinery must see. */
  readonly take = (message: JSONRPCMessage): boolean => {
    if (!("method" in message)) return false;
    this.#listen(message);
    if (!this.#answers.client()) return false;
    const params = (message.params ?? {}) as CallParameters;
    if (!("id" in message)) return message.method === "notifications/cancelled" && this.#cancelled(params.requestId);
    if (message.method === "tools/list") return params.cursor === undefined && this.#list(message);
    if (message.method !== "tools/call" || typeof params.name !== "string") return false;
    const { arguments: written } = params;
    if (written !== undefined && (typeof written !== "object" || written === null || Array.isArray(written)))
      return false;
    const tool = this.#answers.tool(params.name);
    if (!tool) return false;
    void this.#call(message, tool, written, params._meta);
    return true;
  };

  /** What a call that was handed back has come to so far. Asked once. */
  unfinished(id: RequestId): object | undefined {
    const result = this.#unfinished.get(id);
    this.#unfinished.delete(id);
    return result;
  }

  /** The machinery opens and ends streams of news (2026-07-28), and tells nobody which resources they are about. */
  #listen({ method, params, ...rest }: Extract<JSONRPCMessage, { method: string }>): void {
    if (method === "notifications/cancelled") {
      const id = (params as { readonly requestId?: RequestId } | undefined)?.requestId;
      if (id === undefined) return;
      this.#listening.get(id)?.[Symbol.dispose]();
      this.#listening.delete(id);
    }
    if (method !== "subscriptions/listen" || !("id" in rest) || this.#listening.has(rest.id)) return;
    const { notifications } = (params ?? {}) as { notifications?: { resourceSubscriptions?: unknown } | null };
    const uris = notifications?.resourceSubscriptions;
    if (!Array.isArray(uris) || this.#listening.size >= MOST_STREAMS) return;
    this.#listening.set(rest.id, this.#answers.listen(uris.filter((uri) => typeof uri === "string")));
  }

  #list(message: JSONRPCRequest): boolean {
    const list = this.#answers.list();
    if (list === undefined) return false;
    const context = this.#context(message, new AbortController().signal, undefined);
    void this.#answers.observed(context, undefined, () => this.#answer(message.id, list));
    return true;
  }

  async #call(
    message: JSONRPCRequest,
    tool: ToolOffer,
    written: unknown,
    meta: CallParameters["_meta"],
  ): Promise<void> {
    const { id } = message;
    const controller = new AbortController();
    this.#running.set(id, controller);
    const context = this.#context(message, controller.signal, meta);
    try {
      const result = await this.#answers.observed(context, tool.name, () => this.#answers.call(tool, written, context));
      if (controller.signal.aborted) return;
      if ((result as { readonly resultType?: unknown }).resultType === "input_required") {
        this.#unfinished.set(id, result);
        this.#transport.onmessage?.(message);
      } else this.#answer(id, JSON.stringify(result));
    } catch (error) {
      if (!controller.signal.aborted) await this.#fail(id, error);
    } finally {
      this.#running.delete(id);
    }
  }

  /** Never rejects. */
  async #fail(id: RequestId, error: unknown): Promise<void> {
    const { code, message, data } = errorOf(error);
    try {
      await this.#transport.send({ jsonrpc: "2.0", id, error: { code, message, ...(data !== undefined && { data }) } });
    } catch {
      // What a server adds to its error may be such that it cannot be passed on.
      await this.#transport.send({ jsonrpc: "2.0", id, error: { code, message } }).catch(() => {});
    }
  }

  #answer(id: RequestId, result: string): void {
    const line = `{"result":${result},"jsonrpc":"2.0","id":${JSON.stringify(id)}}`;
    this.#transport.answer(id, line).catch(() => {});
  }

  #cancelled(id: unknown): boolean {
    const controller = this.#running.get(id as RequestId);
    controller?.abort(new Error("The client cancelled the request."));
    return controller !== undefined;
  }

  #context({ id, method }: JSONRPCRequest, signal: AbortSignal, meta: CallParameters["_meta"]): ServerContext {
    const server = this.#answers.client() as Server;
    const context = {
      mcpReq: {
        id,
        method,
        signal,
        ...(meta && { _meta: meta }),
        requestState: () => undefined,
        send: (...[question, schema, options]: Parameters<Server["request"]>) =>
          server.request(question, schema, { ...options, relatedRequestId: id }),
        notify: (notification: Parameters<Server["notification"]>[0]) =>
          server.notification(notification, { relatedRequestId: id }),
      },
    };
    return context as unknown as ServerContext;
  }
}

/** What was thrown, as JSON-RPC has it. */
function errorOf(error: unknown): { code: number; message: string; data?: unknown } {
  const { code, message, data } = (error ?? {}) as Readonly<Record<string, unknown>>;
  return {
    code: Number.isSafeInteger(code) ? (code as number) : -32_603,
    message: typeof message === "string" ? message : String(error),
    ...(data !== undefined && { data }),
  };
}
