import type { IncomingMessage, ServerResponse } from "node:http";
import { describeError, type Clock, type Log } from "@davpool/core";
import { getRequestListener } from "@hono/node-server";
import {
  createMcpHandler,
  isJsonContentType,
  isLegacyRequest,
  legacyStatelessFallback,
  type AuthInfo,
  type LegacyHttpHandler,
  type McpHttpHandler,
} from "@modelcontextprotocol/server";
import { holdText, letGoOfText } from "../held-texts.ts";
import { fullAccess } from "../identity/access.ts";
import type { Denial, Principal } from "../identity/index.ts";
import type { Hosting, McpServers } from "../mcp-server.ts";
import { CircuitBreaker } from "../sessions/circuit-breaker.ts";
import type { SessionSettings } from "../sessions/section.ts";
import type { Exchange, Session } from "../sessions/session.ts";
import { SessionPool } from "../sessions/session-pool.ts";
import { SessionShortcuts } from "../sessions/session-shortcuts.ts";
import { BadRequest } from "./bad-request.ts";
import { ByteBudget, type ByteLimits } from "./byte-budget.ts";
import type { PlaceText, TextPlace } from "./json-body.ts";
import { rpcError } from "./messages.ts";
import { readJson, type ReadBody } from "./read-json.ts";
import { HEADER_MISMATCH, mirrorProblem } from "../mirrored-parameters.ts";

/** Bytes; what a client says of itself is kept as long as its session. */
const LARGEST_INITIALIZE = 65_536;
const CURRENT_PROTOCOL = "2026-07-28";
/** Streams of news that one principal may have open, and resources that one of them may be about. */
const MAX_STREAMS = 16;
const MAX_SUBSCRIPTIONS = 1_000;
/** What stays here: whatever is called sees the request, but not how its sender is known. */
const CREDENTIALS = new Set(["authorization", "proxy-authorization", "cookie"]);

export interface EndpointParts {
  readonly servers: McpServers;
  readonly sessions: SessionSettings;
  /** Bytes. */
  readonly maxRequestSize: number;
  readonly requestMemory: ByteLimits;
  readonly clock: Clock;
  readonly log: Log;
}

/** Whose request it is. */
export interface Asker {
  readonly principal: Principal;
  /** Counts further requests that came as one. @returns how to answer where they are too many. */
  charge(count: number): Denial | undefined;
}

/**
 * The MCP endpoint, for clients of every protocol: requests of 2026-07-28 are each answered by a server of their own;
 * those of 2025 by the server of their session, or, without one, by one of their own as well.
 */
export class McpEndpoint implements AsyncDisposable {
  readonly #parts: EndpointParts;
  readonly #current: McpHttpHandler;
  readonly #withoutSession: LegacyHttpHandler;
  readonly #shortcuts: SessionShortcuts;
  readonly #changes: Disposable;
  readonly #listener: ReturnType<typeof getRequestListener>;
  readonly #askers = new WeakMap<IncomingMessage, Asker>();
  readonly #budget: ByteBudget;
  /** Streams of news that are open, by principal. */
  readonly #streams = new Map<string, number>();
  readonly sessions: SessionPool;

  constructor(parts: EndpointParts) {
    const { servers, sessions, clock, log, maxRequestSize } = parts;
    this.#parts = parts;
    this.#budget = new ByteBudget(parts.requestMemory);
    // Its requests and answers cost half of what the platform's own do, which they replace in this process.
    this.#listener = getRequestListener((web, { incoming, outgoing }) =>
      this.#respond(web, incoming as IncomingMessage, outgoing as ServerResponse),
    );
    const hosting: Hosting = {
      transport: "tcp",
      limit: sessions.operationTimeout,
      breaker: new CircuitBreaker(sessions.circuit, clock),
    };
    const once = () => servers.create(hosting, undefined);
    const onerror = (error: Error) => log.debug(`A request was not answered as asked: ${describeError(error)}`);
    this.#current = createMcpHandler(once, { legacy: "reject", onerror, maxRequestBodySize: maxRequestSize });
    this.#withoutSession = legacyStatelessFallback(once, onerror, { maxRequestBodySize: maxRequestSize });
    this.#shortcuts = new SessionShortcuts({ servers, rules: hosting, clock, log });
    this.sessions = new SessionPool({
      settings: sessions,
      clock,
      log,
      createServer: (client) => servers.create({ ...hosting, handedOver: this.#shortcuts.handedOver }, client),
      over: (sessionId, principal) => servers.sessionEnded(sessionId, principal),
    });
    const { notify } = this.#current;
    this.#changes = servers.onChange({
      listChanged: (list) => notify[`${list}Changed`](),
      resourceChanged: (uri) => notify.resourceUpdated(uri),
    });
  }

  /**
   * Answers one request.
   * @param asker who it is from; undefined for nobody in particular.
   */
  async answer(
    request: IncomingMessage,
    response: ServerResponse,
    asker: Asker | undefined,
    headers: Readonly<Record<string, string>>,
  ): Promise<void> {
    forgetCredentials(request);
    acceptAnything(request);
    for (const name in headers) response.setHeader(name, headers[name] as string);
    if (asker) this.#askers.set(request, asker);
    await this.#listener(request, response);
  }

  async #respond(web: Request, request: IncomingMessage, response: ServerResponse): Promise<Response> {
    const asker = this.#askers.get(request);
    const principal = asker?.principal;
    try {
      const { value: body, size } = await this.#body(request, response, principal?.name);
      const denied = Array.isArray(body) && body.length > 1 ? asker?.charge(body.length - 1) : undefined;
      if (denied) return Response.json(denied.body, { status: denied.status, headers: denied.headers });
      const auth = principal && authOf(principal);
      return await this.#route({ body, size, request: web, auth }, principal, response);
    } catch (error) {
      if (error instanceof BadRequest) {
        // There may be more of the request, which nobody reads.
        const headers = { ...(!request.complete && { connection: "close" }), ...(error.status === 429 && RETRY_SOON) };
        return Response.json(rpcError(error.code, error.message), { status: error.status, headers });
      }
      this.#parts.log.error(`A request failed: ${describeError(error)}`, {
        stack: error instanceof Error ? error.stack : undefined,
      });
      return Response.json(rpcError(-32_603, "Something went wrong here; the log says what."), { status: 500 });
    }
  }

  /** Milliseconds that a call may take. */
  get operationTimeout(): number {
    return this.#parts.sessions.operationTimeout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#changes[Symbol.dispose]();
    await this.sessions[Symbol.asyncDispose]();
    await this.#current.close();
  }

  /** It counts as in memory until the request has been answered. */
  async #body(request: IncomingMessage, response: ServerResponse, principal: string | undefined): Promise<ReadBody> {
    if (request.method !== "POST") return { value: undefined, size: 0 };
    if (!isJsonContentType(request.headers["content-type"] ?? null))
      throw new BadRequest(415, -32_000, "The Content-Type must be application/json.");
    const lease = this.#budget.lease(principal);
    const held: string[] = [];
    const letGo = () => {
      lease[Symbol.dispose]();
      held.forEach(letGoOfText);
    };
    response.once("close", letGo);
    const place: PlaceText = (pieces, at) => {
      if (!this.#isFile(at)) return pieces.join("");
      const name = holdText(pieces);
      held.push(name);
      return name;
    };
    try {
      return await readJson(request, { limit: this.#parts.maxRequestSize, lease, place });
    } finally {
      if (response.closed) letGo();
    }
  }

  /** Whether a text is the body of a request to servers, which is sent on piece by piece. */
  #isFile({ root, owner, key }: TextPlace): boolean {
    const { method, params } = root as { readonly method?: unknown; readonly params?: CallParameters | null };
    if (method !== "tools/call" || key !== "body" || params?.arguments !== owner || typeof params.name !== "string")
      return false;
    return this.#parts.servers.tools.own(params.name, fullAccess)?.asksServers === true;
  }

  async #route(
    exchange: Exchange & { readonly size: number },
    principal: Principal | undefined,
    response: ServerResponse,
  ): Promise<Response> {
    const { request, body, size, auth } = exchange;
    const options = { ...(body !== undefined && { parsedBody: body }), ...(auth && { authInfo: auth }) };
    const { sessions } = this;
    // What calls itself current is looked at there; what names a session is of 2025.
    const current = request.headers.get("mcp-protocol-version") === CURRENT_PROTOCOL;
    const id = current ? null : request.headers.get("mcp-session-id");
    if (current || (id === null && !(await isLegacyRequest(request, body)))) {
      const { method, params } = (body ?? {}) as ListenRequest;
      if (method === "subscriptions/listen" && typeof params === "object")
        return this.#listen(exchange, auth, principal, response);
      return this.#mismatch(exchange, principal) ?? this.#current.fetch(request, options);
    }
    if (id !== null) {
      const session = sessions.find(id, principal?.name);
      // Somebody else's is not there either.
      if (!session)
        return Response.json(rpcError(-32_001, "There is no such session; open a new one."), { status: 404 });
      const answer = () => this.#shortcuts.take(exchange, session, principal) ?? session.handle(exchange);
      return this.#inSession(answer, session, response);
    }
    const opens = isInitialize(body);
    if (opens && size > LARGEST_INITIALIZE)
      throw new BadRequest(413, -32_000, `An initialize request may have ${LARGEST_INITIALIZE} bytes at most.`);
    const session = opens ? sessions.open(principal?.name) : undefined;
    if (!session) return this.#withoutSession(request, options);
    try {
      const answer = await this.#inSession(() => session.handle(exchange), session, response);
      if (answer.ok) sessions.opened();
      else await sessions.discard(session, false);
      return answer;
    } catch (error) {
      this.#parts.log.warn(
        `A session could not be opened, so its client is served without one: ${describeError(error)}`,
      );
      await sessions.discard(session, true);
      return this.#withoutSession(request, options);
    }
  }

  /** A stream of news of 2026-07-28: of those resources only that are there for the caller. */
  async #listen(
    { request, body }: Exchange,
    auth: AuthInfo | undefined,
    principal: Principal | undefined,
    response: ServerResponse,
  ): Promise<Response> {
    const { servers } = this.#parts;
    const access = principal?.access ?? fullAccess;
    const { params, ...rest } = body as ListenRequest;
    const wanted = params?.notifications?.resourceSubscriptions;
    if (Array.isArray(wanted) && wanted.length > MAX_SUBSCRIPTIONS)
      throw new BadRequest(400, -32_602, `One stream may be about ${MAX_SUBSCRIPTIONS} resources at most.`);
    const name = principal?.name;
    const streams = name === undefined ? 0 : (this.#streams.get(name) ?? 0);
    if (streams >= MAX_STREAMS)
      throw new BadRequest(
        429,
        -32_000,
        `You have ${MAX_STREAMS} streams of subscriptions/listen open; end one of them, or have one stream say more.`,
      );
    const uris = Array.isArray(wanted)
      ? wanted.filter((uri) => typeof uri === "string" && servers.hasResource(uri, access))
      : [];
    const notifications = { ...params?.notifications, ...(Array.isArray(wanted) && { resourceSubscriptions: uris }) };
    const parsedBody = { ...rest, params: { ...params, ...(params?.notifications && { notifications }) } };
    if (name !== undefined && !response.closed) {
      this.#streams.set(name, streams + 1);
      response.once("close", () => this.#streamClosed(name));
    }
    const answer = await this.#current.fetch(request, { parsedBody, ...(auth && { authInfo: auth }) });
    if (answer.ok && !response.closed) {
      const listening = servers.listen(uris as readonly string[], access);
      response.once("close", () => listening[Symbol.dispose]());
    }
    return answer;
  }

  #streamClosed(name: string): void {
    const left = (this.#streams.get(name) ?? 1) - 1;
    if (left > 0) this.#streams.set(name, left);
    else this.#streams.delete(name);
  }

  /** The protocol's own code looks only at the headers that it knows. */
  #mismatch({ request, body }: Exchange, principal: Principal | undefined): Response | undefined {
    const { id, method, params } = (body ?? {}) as { id?: unknown; method?: unknown; params?: CallParameters | null };
    if (method !== "tools/call" || typeof params?.name !== "string") return undefined;
    const parameters = this.#parts.servers.tools.mirrored(params.name, principal?.access ?? fullAccess);
    const problem = mirrorProblem(parameters, params.arguments, request.headers);
    return problem === undefined
      ? undefined
      : Response.json(rpcError(HEADER_MISMATCH, problem, id ?? null), { status: 400 });
  }

  /** A session counts as in use until the answer has been written. */
  async #inSession(run: () => Promise<Response>, session: Session, response: ServerResponse): Promise<Response> {
    session.used();
    // Whoever has gone already closes nothing any more.
    if (response.closed) return run();
    session.open++;
    response.once("close", () => {
      session.open--;
      session.lastUsedAt = this.#parts.clock.now();
    });
    return run();
  }
}

const RETRY_SOON = { "retry-after": "1" };

interface ListenRequest {
  readonly method?: unknown;
  readonly params?: { readonly notifications?: { readonly resourceSubscriptions?: unknown } | null } | null;
}

/** As a client writes them. */
interface CallParameters {
  readonly name?: unknown;
  readonly arguments?: unknown;
}

function forgetCredentials({ headers, rawHeaders }: IncomingMessage): void {
  for (let at = rawHeaders.length - 2; at >= 0; at -= 2) {
    const name = rawHeaders[at]?.toLowerCase() ?? "";
    if (!CREDENTIALS.has(name)) continue;
    rawHeaders.splice(at, 2);
    delete headers[name];
  }
}

/** Whoever takes anything takes JSON and streams, which the protocol's own code wants to be named. */
function acceptAnything({ headers, rawHeaders }: IncomingMessage): void {
  if (!/(?:^|,)\s*\*\/\*\s*(?:$|[,;])/.test(headers.accept ?? "")) return;
  headers.accept = "application/json, text/event-stream";
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.toLowerCase() === "accept") rawHeaders[at + 1] = headers.accept;
}

function authOf(principal: Principal): AuthInfo {
  return { token: "", clientId: principal.name, scopes: [], extra: { principal } };
}

function isInitialize(body: unknown): boolean {
  return typeof body === "object" && body !== null && (body as { method?: unknown }).method === "initialize";
}
