import { Deadlines, type Clock, type Log } from "@davpool/core";
import {
  SUPPORTED_PROTOCOL_VERSIONS,
  type CallToolResult,
  type RequestId,
  type ServerContext,
} from "@modelcontextprotocol/server";
import { fullAccess } from "../identity/access.ts";
import type { Principal } from "../identity/principal.ts";
import type { McpServers } from "../mcp-server.ts";
import { observeRequest, type ObservedRequest } from "../telemetry/observe-request.ts";
import { callTool, type CallRules } from "../tools/call-tool.ts";
import type { Tool } from "../tools/tool.ts";
import { CANCELLED, type Exchange, type Session } from "./session.ts";

/** Milliseconds after which a call lasts: its client gets a stream, which it can take up again when it breaks off. */
const MOMENT = 100;
/** As the protocol's own code answers in a session. */
const STREAM = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
};

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
  readonly #begun = new WeakMap<Request, Promise<CallToolResult>>();

  constructor(parts: SessionShortcutsParts) {
    this.#parts = parts;
    this.#moments = new Deadlines(parts.clock);
  }

  /** What the call gives that was handed over with this request. */
  readonly begun = ({ http }: ServerContext): Promise<CallToolResult> | undefined =>
    http?.req && this.#begun.get(http.req);

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
  ): Promise<Response> | undefined {
    const { rules, log } = this.#parts;
    const id = (exchange.body as Asked).id as RequestId;
    const caller = { session: session.id, ...(principal && { principal: principal.name }) };
    const access = principal?.access ?? fullAccess;
    let cancelled!: AbortSignal;
    const result = session.run(id, (signal) => {
      cancelled = signal;
      return observeRequest(about(exchange, session, tool.name), () =>
        callTool(tool, written, { signal, caller, access }, rules, log),
      );
    });
    return result && this.#answer(exchange, session, result, cancelled);
  }

  async #answer(
    exchange: Exchange,
    session: Session,
    result: Promise<CallToolResult>,
    cancelled: AbortSignal,
  ): Promise<Response> {
    const soon = await this.#within(result, cancelled);
    const { id } = exchange.body as Asked;
    if (cancelled.aborted) {
      const error = { code: CANCELLED, message: (cancelled.reason as Error).message };
      return streamed(session, id, `"error":${JSON.stringify(error)}`);
    }
    if (soon) return streamed(session, id, `"result":${JSON.stringify(soon)}`);
    this.#begun.set(exchange.request, result);
    return session.handle(exchange);
  }

  /** What the call gives within a moment, if it does and nobody cancels it. */
  #within(result: Promise<CallToolResult>, cancelled: AbortSignal): Promise<CallToolResult | undefined> {
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
  return (
    session.isOpen &&
    jsonrpc === "2.0" &&
    (typeof id === "string" || Number.isSafeInteger(id)) &&
    isFields(params?._meta) &&
    accept?.includes("application/json") === true &&
    accept.includes("text/event-stream") &&
    (version === null || SUPPORTED_PROTOCOL_VERSIONS.includes(version))
  );
}

/** An object, or nothing. */
function isFields(value: unknown): boolean {
  return value === undefined || (typeof value === "object" && value !== null && !Array.isArray(value));
}

function about({ request, body }: Exchange, session: Session, toolName: string | undefined): ObservedRequest {
  const { id, method, params } = body as Asked;
  const version = request.headers.get("mcp-protocol-version");
  return {
    method: method as string,
    requestId: id as RequestId,
    transport: "tcp",
    sessionId: session.id,
    ...(toolName !== undefined && { toolName }),
    ...(version !== null && { protocolVersion: version }),
    ...(params?._meta !== undefined && { meta: params._meta as NonNullable<ObservedRequest["meta"]> }),
  };
}

/** @param outcome `"result"` or `"error"` with its value, as JSON. */
function streamed(session: Session, id: unknown, outcome: string): Response {
  return new Response(`event: message\ndata: {${outcome},"jsonrpc":"2.0","id":${JSON.stringify(id)}}\n\n`, {
    headers: { ...STREAM, "mcp-session-id": session.id },
  });
}
