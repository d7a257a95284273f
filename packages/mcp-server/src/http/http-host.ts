import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { randomUUID } from "node:crypto";
import type { AddressInfo } from "node:net";
import { DavpoolError, describeError, type Clock, type Log, type Pool } from "@davpool/core";
import { context } from "@opentelemetry/api";
import {
  isDenial,
  protectedResource,
  protectedResourcePaths,
  type Authenticator,
  type IdentitySettings,
  type Principal,
} from "../identity/index.ts";
import { extractHttpContext } from "../telemetry/remote-parent.ts";
import type { MetricsHandler } from "../telemetry/start-telemetry.ts";
import { AdmittedRequests } from "./admitted-requests.ts";
import type { McpEndpoint } from "./endpoint.ts";
import { Guard, isLoopbackHost } from "./guard.ts";
import { rpcError, writeJson } from "./messages.ts";
import type { HttpSettings } from "./section.ts";
import { SlowClients } from "./slow-clients.ts";

export const ENDPOINT = "/mcp";

/** Milliseconds for a request's head and for the whole of it; slower clients are cut off. */
const PATIENCE: Patience = { head: 10_000, request: 120_000 };
/** Milliseconds between two looks for these at most. */
const LOOKS = 5_000;
/** Milliseconds for answers to those whose calls are cut off. */
const LAST_WORDS = 1_000;
/** Longer than the usual proxy keeps a connection, so that it is the proxy that closes. */
const KEEP_ALIVE = 75_000;
/** What may stand in a header that is written to the log. */
const REQUEST_ID = /^[\w.:-]{1,128}$/;

/** `LISTEN_FAILED`: the address cannot be listened on. */
export class ListenError extends DavpoolError {
  constructor(host: string, port: number, cause: unknown) {
    super(
      "LISTEN_FAILED",
      `${host}:${port} cannot be listened on: ${describeError(cause)}. Give another --host or --port.`,
      {
        cause,
      },
    );
  }
}

/** How it is found out who asks; absent where nobody is asked. */
export interface Identity {
  readonly settings: IdentitySettings;
  readonly authenticator: Authenticator;
}

/** Milliseconds of the system's time. */
export interface Patience {
  readonly head: number;
  readonly request: number;
}

export interface HttpHostParts {
  readonly settings: HttpSettings;
  readonly endpoint: McpEndpoint;
  readonly identity: Identity | undefined;
  readonly pools: ReadonlyMap<string, Pool>;
  readonly metricsHandler: MetricsHandler | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Default: 10 s for a head, 2 min for a request. */
  readonly patience?: Patience;
}

/** The HTTP server: the MCP endpoint, and what operators and their tools ask for. */
export class HttpHost {
  readonly #parts: HttpHostParts;
  #identity: Identity | undefined;
  #guard: Guard;
  readonly #server: Server;
  readonly #running = new Set<Promise<void>>();
  readonly #slowClients: SlowClients;
  readonly #admitted: AdmittedRequests;
  #stopping = false;

  constructor(parts: HttpHostParts) {
    this.#parts = parts;
    this.#slowClients = new SlowClients(parts.clock);
    this.#admitted = new AdmittedRequests(parts.clock, parts.endpoint.operationTimeout);
    this.#identity = parts.identity;
    this.#guard = new Guard(parts.settings, parts.identity?.settings);
    const { head, request } = parts.patience ?? PATIENCE;
    this.#server = createServer(
      {
        headersTimeout: head,
        requestTimeout: request,
        connectionsCheckingInterval: Math.min(LOOKS, head),
        keepAliveTimeout: KEEP_ALIVE,
        noDelay: true,
      },
      (request, response) => this.#handle(request, response),
    );
  }

  /** Begins to listen. @throws ListenError */
  async listen(): Promise<{ readonly host: string; readonly port: number }> {
    const { host, port } = this.#parts.settings;
    const listening = once(this.#server, "listening");
    this.#server.listen({ host, port, backlog: 4_096 });
    try {
      await listening;
    } catch (error) {
      throw new ListenError(host, port, error);
    }
    this.#server.on("error", (error) => this.#parts.log.error(`The HTTP server reported: ${error.message}`));
    return { host, port: (this.#server.address() as AddressInfo).port };
  }

  /** From now on, who asks is found out this way. What is open for those who are not admitted any more ends. */
  identifyBy(identity: Identity | undefined): void {
    const former = this.#identity;
    this.#identity = identity;
    if (identity && former) {
      const { authenticator } = identity;
      this.#admitted.endUnless((principal) => authenticator.stillAdmits(principal, former.settings));
      this.#parts.endpoint.sessions.endUnless((principal) => authenticator.knows(principal));
    }
    this.#guard = new Guard(this.#parts.settings, identity?.settings);
  }

  /**
   * Takes no more requests, lets those in flight end within `settings.drain`, and closes every connection. Pools are closed
   * as well where calls take longer than that, so that those who wait for them are told.
   */
  async close(): Promise<void> {
    this.#stopping = true;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeIdleConnections();
    const { clock, settings } = this.#parts;
    const patience = Promise.withResolvers<void>();
    const limit = clock.after(settings.drain, patience.resolve);
    // Streams that wait for news would wait for ever: sessions end once the requests have.
    await Promise.race([this.#drained(), patience.promise]);
    limit[Symbol.dispose]();
    if (this.#running.size > 0) await this.#cutOff();
    await this.#parts.endpoint[Symbol.asyncDispose]();
    this.#server.closeAllConnections();
    this.#slowClients[Symbol.dispose]();
    this.#admitted[Symbol.dispose]();
    await closed;
  }

  async #cutOff(): Promise<void> {
    const { pools, settings, clock, log } = this.#parts;
    log.warn(`Requests that took longer than http.drain (${settings.drain} ms) are cut off.`, {
      requests: this.#running.size,
    });
    const patience = Promise.withResolvers<void>();
    const limit = clock.after(LAST_WORDS, patience.resolve);
    const closing = [...pools.values()].map((pool) => pool.close({ drain: 0 }));
    await Promise.race([Promise.allSettled([...closing, this.#drained()]), patience.promise]);
    limit[Symbol.dispose]();
  }

  async #drained(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const answering = this.#answer(request, response).catch((error: unknown) => {
      this.#parts.log.error(`A request failed: ${describeError(error)}`);
      response.destroy();
    });
    this.#slowClients.watch(response);
    // A stream of news is no work to wait for. What the header says is what the body says, or it is refused.
    if (request.method !== "POST" || request.headers["mcp-method"] === "subscriptions/listen") return;
    this.#running.add(answering);
    void answering.finally(() => this.#running.delete(answering));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { settings, endpoint, metricsHandler } = this.#parts;
    const path = (request.url?.split("?", 1)[0] ?? "/").replace(/(?<=.)\/$/, "");
    // Asked for by machines that know an address and no name.
    if (path === "/healthz") return writeJson(response, 200, { status: "ok" });
    if (path === "/readyz") return this.#ready(response);

    const refused = this.#guard.refuses(request);
    if (refused !== undefined) return writeJson(response, 403, rpcError(-32_000, refused));
    const { origin } = request.headers;
    const cors = this.#guard.corsHeaders(origin);
    if (request.method === "OPTIONS") {
      response
        .writeHead(204, this.#guard.preflightHeaders(origin, request.headers["access-control-request-headers"]))
        .end();
      return;
    }
    const resource = settings.publicUrl ?? `http://${request.headers.host ?? settings.host}${ENDPOINT}`;
    if (this.#identity && protectedResourcePaths(resource).includes(path))
      return this.#metadata(this.#identity.settings, resource, response, cors);

    const metrics = path === "/metrics" && metricsHandler !== undefined;
    if (path !== new URL(resource).pathname && path !== ENDPOINT && !metrics)
      return writeJson(response, 404, rpcError(-32_000, `There is nothing here; the endpoint is ${ENDPOINT}.`), cors);
    if (!metrics && !["GET", "POST", "DELETE"].includes(request.method ?? ""))
      return writeJson(response, 405, rpcError(-32_000, "The endpoint takes GET, POST and DELETE."), {
        ...cors,
        allow: "GET, POST, DELETE, OPTIONS",
      });
    const principal = await this.#authenticate(request, response, resource, cors, metrics);
    if (principal === "refused") return;
    if (principal) this.#admitted.add(response, principal);
    if (metrics) return metricsHandler(request, response);
    if (this.#stopping)
      return writeJson(response, 503, rpcError(-32_000, "The server is stopping."), { ...cors, "retry-after": "5" });
    const headers = { ...cors, "x-request-id": requestId(request) };
    const authenticator = this.#identity?.authenticator;
    const asker = principal &&
      authenticator && { principal, charge: (count: number) => authenticator.charge(principal, count) };
    await context.with(extractHttpContext(request.headers), () => endpoint.answer(request, response, asker, headers));
  }

  /** Who asks; undefined for nobody in particular. The answer has been given when they are refused. */
  async #authenticate(
    request: IncomingMessage,
    response: ServerResponse,
    resource: string,
    cors: Readonly<Record<string, string>>,
    metrics: boolean,
  ): Promise<Principal | undefined | "refused"> {
    const { settings } = this.#parts;
    const identity = this.#identity;
    // A scraper beside the server need not be told who it is.
    if (!identity || (metrics && isLoopbackHost(settings.host))) return undefined;
    const who = await identity.authenticator.authenticate(request.headers, {
      address: clientAddress(request, settings.trustProxy),
      resource,
    });
    if (!isDenial(who)) return who;
    writeJson(response, who.status, who.body, { ...who.headers, ...cors });
    return "refused";
  }

  #ready(response: ServerResponse): void {
    const servers = [...this.#parts.pools.values()].flatMap((pool) => pool.list());
    const usable = servers.filter(({ enabled, health }) => enabled && health.status !== "unhealthy").length;
    const ready = usable > 0 && !this.#stopping;
    writeJson(response, ready ? 200 : 503, {
      status: ready ? "ready" : this.#stopping ? "stopping" : "no usable server",
    });
  }

  #metadata(
    settings: IdentitySettings,
    resource: string,
    response: ServerResponse,
    cors: Readonly<Record<string, string>>,
  ): void {
    const document = protectedResource(settings, resource);
    // Everybody may read it, or nobody could find out where tokens are given.
    if (document) writeJson(response, 200, document, { ...cors, "access-control-allow-origin": "*" });
    else writeJson(response, 404, rpcError(-32_000, "Tokens for this server are handed out by its operator."), cors);
  }
}

function requestId({ headers }: IncomingMessage): string {
  const given = headers["x-request-id"];
  return typeof given === "string" && REQUEST_ID.test(given) ? given : randomUUID();
}

function clientAddress({ headers, socket }: IncomingMessage, trustProxy: boolean): string | undefined {
  const forwarded = trustProxy ? [headers["x-forwarded-for"]].flat().at(-1)?.split(",").at(-1)?.trim() : undefined;
  return forwarded ?? socket.remoteAddress;
}
