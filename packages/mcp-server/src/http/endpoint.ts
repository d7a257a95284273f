import type { IncomingMessage, ServerResponse } from "node:http";
import { describeError, type Clock, type Log } from "@davpool/core";
import {
  createMcpHandler,
  isJsonContentType,
  isLegacyRequest,
  legacyStatelessFallback,
  type AuthInfo,
  type LegacyHttpHandler,
  type McpHttpHandler,
} from "@modelcontextprotocol/server";
import type { Principal } from "../identity/index.ts";
import type { Hosting, McpServers } from "../mcp-server.ts";
import { CircuitBreaker } from "../sessions/circuit-breaker.ts";
import type { SessionSettings } from "../sessions/section.ts";
import type { Exchange } from "../sessions/session.ts";
import { SessionPool } from "../sessions/session-pool.ts";
import { BadRequest, readJson, rpcError, toWebRequest, writeJson, writeResponse } from "./messages.ts";

export interface EndpointParts {
  readonly servers: McpServers;
  readonly sessions: SessionSettings;
  /** Bytes. */
  readonly maxRequestSize: number;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The MCP endpoint, for clients of every protocol: requests of 2026-07-28 are each answered by a server of their own;
 * those of 2025 by the server of their session, or, without one, by one of their own as well.
 */
export class McpEndpoint implements AsyncDisposable {
  readonly #parts: EndpointParts;
  readonly #current: McpHttpHandler;
  readonly #withoutSession: LegacyHttpHandler;
  readonly #changes: Disposable;
  readonly sessions: SessionPool;

  constructor(parts: EndpointParts) {
    const { servers, sessions, clock, log, maxRequestSize } = parts;
    this.#parts = parts;
    const hosting: Hosting = {
      transport: "tcp",
      limit: sessions.operationTimeout,
      breaker: new CircuitBreaker(clock),
    };
    const once = () => servers.create(hosting, false);
    const onerror = (error: Error) => log.debug(`A request was not answered as asked: ${describeError(error)}`);
    this.#current = createMcpHandler(once, { legacy: "reject", onerror, maxRequestBodySize: maxRequestSize });
    this.#withoutSession = legacyStatelessFallback(once, onerror, { maxRequestBodySize: maxRequestSize });
    this.sessions = new SessionPool({
      settings: sessions,
      clock,
      log,
      createServer: () => servers.create(hosting, true),
    });
    const { notify } = this.#current;
    this.#changes = servers.onChange({
      listsChanged() {
        notify.toolsChanged();
        notify.resourcesChanged();
      },
      resourceChanged: (uri) => notify.resourceUpdated(uri),
    });
  }

  /**
   * Answers one request.
   * @param principal who it is from; undefined for nobody in particular.
   */
  async answer(
    request: IncomingMessage,
    response: ServerResponse,
    principal: Principal | undefined,
    headers: Readonly<Record<string, string>>,
  ): Promise<void> {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    try {
      const exchange: Exchange = {
        body: await this.#body(request),
        request: toWebRequest(request, gone.signal),
        // The token itself stays here.
        auth: principal && authOf(principal),
      };
      const answer = await this.#route(exchange, principal, response);
      await writeResponse(response, answer, headers, this.#parts.clock);
    } catch (error) {
      if (error instanceof BadRequest) {
        const close = error.status === 413 ? { connection: "close" } : {};
        writeJson(response, error.status, rpcError(error.code, error.message), { ...headers, ...close });
        return;
      }
      if (gone.signal.aborted) return;
      this.#parts.log.error(`A request failed: ${describeError(error)}`, {
        stack: error instanceof Error ? error.stack : undefined,
      });
      writeJson(response, 500, rpcError(-32_603, "Something went wrong here; the log says what."), headers);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#changes[Symbol.dispose]();
    await this.sessions[Symbol.asyncDispose]();
    await this.#current.close();
  }

  async #body(request: IncomingMessage): Promise<unknown> {
    if (request.method !== "POST") return undefined;
    if (!isJsonContentType(request.headers["content-type"] ?? null))
      throw new BadRequest(415, -32_000, "The Content-Type must be application/json.");
    return readJson(request, this.#parts.maxRequestSize);
  }

  async #route(exchange: Exchange, principal: Principal | undefined, response: ServerResponse): Promise<Response> {
    const { request, body, auth } = exchange;
    const options = { ...(body !== undefined && { parsedBody: body }), ...(auth && { authInfo: auth }) };
    if (!(await isLegacyRequest(request, body))) return this.#current.fetch(request, options);

    const { sessions } = this;
    const id = request.headers.get("mcp-session-id");
    if (id !== null) {
      const session = sessions.find(id, principal?.name);
      // Somebody else's is not there either.
      if (!session)
        return Response.json(rpcError(-32_001, "There is no such session; open a new one."), { status: 404 });
      return this.#inSession(() => session.handle(exchange), session, response);
    }
    const session = isInitialize(body) ? sessions.open(principal?.name) : undefined;
    if (!session) return this.#withoutSession(request, options);
    try {
      const answer = await this.#inSession(() => session.handle(exchange), session, response);
      if (answer.ok) return answer;
      await sessions.discard(session);
      return answer;
    } catch (error) {
      this.#parts.log.warn(
        `A session could not be opened, so its client is served without one: ${describeError(error)}`,
      );
      await sessions.discard(session);
      return this.#withoutSession(request, options);
    }
  }

  /** A session counts as in use until the answer has been written. */
  async #inSession(
    run: () => Promise<Response>,
    session: { open: number; lastUsedAt: number },
    response: ServerResponse,
  ): Promise<Response> {
    session.open++;
    response.once("close", () => {
      session.open--;
      session.lastUsedAt = this.#parts.clock.now();
    });
    return run();
  }
}

function authOf(principal: Principal): AuthInfo {
  return { token: "", clientId: principal.name, scopes: [], extra: { principal } };
}

function isInitialize(body: unknown): boolean {
  return typeof body === "object" && body !== null && (body as { method?: unknown }).method === "initialize";
}
