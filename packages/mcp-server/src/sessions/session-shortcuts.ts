import { Deadlines, type Clock, type Log } from "@davpool/core";
import {
  RELATED_TASK_META_KEY,
  SUPPORTED_PROTOCOL_VERSIONS,
  type CallToolResult,
  type RequestId,
  type ServerContext,
} from "@modelcontextprotocol/server";
import { fullAccess } from "../identity/access.ts";
import type { Principal } from "../identity/principal.ts";
import type { McpServers } from "../mcp-server.ts";
import { observeRequest, type ObservedRequest } from "../telemetry/observe-request.ts";
import { INVALID_REQUEST, SAME_ID } from "../rpc-errors.ts";
import { callTool, type CallRules } from "../tools/call-tool.ts";
import type { Tool } from "../tools/tool.ts";
import { CANCELLED, type Exchange, type Running, type Session } from "./session.ts";

/** Milliseconds after which a call lasts: its client gets a stream, which it can take up again when it breaks off. */
const MOMENT = 100;
/** As the protocol's own code answers in a session. */
const STREAM = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
};

/** Of a request. */
const FIELDS = new Set(["jsonrpc", "id", "method", "params"]);

export interface SessionShortcutsParts {
  readonly servers: McpServers;
  readonly rules: CallRules;
  readonly clock: Clock;
  readonly log: Log;
}

/** As a client writes it. */
interface Asked {
  readonly jsonrpc?: unknown;
  readonly id?: unknown;
  readonly method?: unknown;
  readonly params?: {
    readonly cursor?: unknown;
    readonly name?: unknown;
    readonly arguments?: unknown;
    readonly task?: unknown;
    readonly _meta?: unknown;
  } | null;
}

/**
 * Answers lists of tools, and calls of this server's own tools, right where they come in. The protocol's machinery looks
 * twice at everything that passes and makes a stream for each answer, which together cost more than the call. A call that
 * lasts is handed over to it.
 */
export class SessionShortcuts {
  readonly #parts: SessionShortcutsParts;
  readonly #moments: Deadlines;
  /** What calls that were handed over give, by the request that brought them. */
  readonly #handedOver = new WeakMap<Request, Promise<CallToolResult>>();

  constructor(parts: SessionShortcutsParts) {
    this.#parts = parts;
    this.#moments = new Deadlines(parts.clock);
  }

  /** What the call gives that was handed over with this request. */
  readonly handedOver = ({ http }: ServerContext): Promise<CallToolResult> | undefined =>
    http?.req && this.#handedOver.get(http.req);

  /** @returns undefined for what the machinery must see. */
  take(exchange: Exchange, session: Session, principal: Principal | undefined): Promise<Response> | undefined {
    const { id, method, params } = (exchange.body ?? {}) as Asked;
    if (method === "tools/list") {
      if (params?.cursor !== undefined || !isPlain(exchange, session)) return undefined;
      const list = this.#parts.servers.tools.listText(principal?.access ?? fullAccess);
      if (list === undefined) return undefined;
      return observeRequest(about(exchange, session, undefined), () => streamed(session, id, `"result":${list}`));
    }
    if (method !== "tools/call" || typeof params?.name !== "string" || params.task !== undefined) return undefined;
    const tool = this.#parts.servers.tools.own(params.name, principal?.access ?? fullAccess);
    if (!tool || !isFields(params.arguments) || !isPlain(exchange, session)) return undefined;
    return this.#call(exchange, session, principal, tool, params.arguments);
  }

  #call(
    exchange: Exchange,
    session: Session,
    principal: Principal | undefined,
    tool: Tool,
    written: unknown,
  ): Promise<Response> {
    const { rules, log } = this.#parts;
    const id = (exchange.body as Asked).id as RequestId;
    const caller = { session: session.id, ...(principal && { principal: principal.name }) };
    const access = principal?.access ?? fullAccess;
    const running = session.run(id, (signal) =>
      observeRequest(about(exchange, session, tool.name), () =>
        callTool(tool, written, { signal, caller, access }, rules, log),
      ),
    );
    if (running) return this.#answer(exchange, session, running);
    return Promise.resolve(failed(session, id, INVALID_REQUEST, SAME_ID));
  }

  async #answer(exchange: Exchange, session: Session, running: Running<CallToolResult>): Promise<Response> {
    const { result, cancelled } = running;
    const { id } = exchange.body as Asked;
    const soon = await this.#inAMoment(running);
    if (cancelled.aborted) return failed(session, id, CANCELLED, (cancelled.reason as Error).message);
    if (soon) return succeeded(session, id, soon);
    this.#handedOver.set(exchange.request, result);
    const answer = await session.handle(exchange, true);
    // Whatever the machinery has against it, it has been done.
    return answer.ok ? answer : succeeded(session, id, await result);
  }

  /** What the call gives, unless it lasts or nobody waits for it any more. */
  #inAMoment({ result, cancelled }: Running<CallToolResult>): Promise<CallToolResult | undefined> {
    return new Promise((resolve, reject) => {
      const over = () => resolve(undefined);
      const moment = { expiresAt: this.#parts.clock.now() + MOMENT, expire: over, close: over };
      this.#moments.add(moment);
      cancelled.addEventListener("abort", over, { once: true });
      result.then(resolve, reject).finally(() => this.#moments.remove(moment));
    });
  }
}

/** The session is well, and nothing is wrong with the request: what is, is told so by the protocol's own code. */
function isPlain({ request, body }: Exchange, session: Session): boolean {
  const { jsonrpc, id, params } = body as Asked;
  const accept = request.headers.get("accept");
  const version = request.headers.get("mcp-protocol-version");
  for (const field in body as object) if (!FIELDS.has(field)) return false;
  return (
    session.isOpen &&
    jsonrpc === "2.0" &&
    isId(id) &&
    isFields(params) &&
    isMeta(params?._meta) &&
    accept?.includes("application/json") === true &&
    accept.includes("text/event-stream") &&
    (version === null || SUPPORTED_PROTOCOL_VERSIONS.includes(version))
  );
}

function isId(value: unknown): boolean {
  return typeof value === "string" || Number.isSafeInteger(value);
}

function isMeta(meta: unknown): boolean {
  if (meta === undefined) return true;
  if (!isFields(meta)) return false;
  const { progressToken, [RELATED_TASK_META_KEY]: task } = meta as Readonly<Record<string, unknown>>;
  return (progressToken === undefined || isId(progressToken)) && task === undefined;
}

/** An object, or nothing. */
function isFields(value: unknown): boolean {
  return value === undefined || (typeof value === "object" && value !== null && !Array.isArray(value));
}

function about({ body }: Exchange, session: Session, toolName: string | undefined): ObservedRequest {
  const { id, method, params } = body as Asked;
  const { protocolVersion } = session;
  return {
    method: method as string,
    requestId: id as RequestId,
    transport: "tcp",
    sessionId: session.id,
    ...(toolName !== undefined && { toolName }),
    ...(protocolVersion !== undefined && { protocolVersion }),
    ...(params?._meta !== undefined && { meta: params._meta as NonNullable<ObservedRequest["meta"]> }),
  };
}

function succeeded(session: Session, id: unknown, result: object): Response {
  return streamed(session, id, `"result":${JSON.stringify(result)}`);
}

function failed(session: Session, id: unknown, code: number, message: string): Response {
  return streamed(session, id, `"error":${JSON.stringify({ code, message })}`);
}

/** @param outcome `"result"` or `"error"` with its value, as JSON. */
function streamed(session: Session, id: unknown, outcome: string): Response {
  return new Response(`event: message\ndata: {${outcome},"jsonrpc":"2.0","id":${JSON.stringify(id)}}\n\n`, {
    headers: { ...STREAM, "mcp-session-id": session.id },
  });
}
