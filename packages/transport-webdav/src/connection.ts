import type { Attempt, ConnectInit, Connection, ConnectionStats, Credentials } from "@davpool/core";
import { Pool, type Dispatcher } from "undici";
import type { AddressGuard } from "./address-guard.ts";
import { Exchange, type FollowRedirect } from "./exchange.ts";
import { isSafe } from "./methods.ts";
import { baseOf, below, confine, type Base } from "./paths.ts";
import { requestHeaders } from "./request-head.ts";
import type { WebDavBody, WebDavProfile, WebDavRequest, WebDavResponse, WebDavWire } from "./wire.ts";

export interface ConnectionSettings {
  /** Milliseconds an idle socket is kept. */
  readonly idleTimeout: number;
  /** Milliseconds. */
  readonly connectTimeout: number;
  /** Sockets opened as soon as the connection is made, the one that is needed at once included. */
  readonly preconnect: number;
  readonly healthCheck: "OPTIONS" | "PROPFIND";
  readonly userAgent: string;
}

/** Attempts are timed by the engine; this ends what it may have overlooked. */
const BACKSTOP = 600_000;
const MOST_REDIRECTS = 5;
/** Larger bodies are sent in pieces, so that progress can be seen. */
const PIECE = 64 * 1024;

/** One server's sockets, as an undici pool of `maxConnections`. */
export class WebDavConnection implements Connection<WebDavWire> {
  readonly #pool: Pool;
  readonly #base: Base;
  readonly #fixed: readonly string[];
  readonly #max: number;
  readonly #settings: ConnectionSettings;

  constructor(profile: WebDavProfile, init: ConnectInit, settings: ConnectionSettings, guard: AddressGuard) {
    const added = init.origin === "added";
    if (added) guard.connecting(new URL(profile.url));
    this.#base = baseOf(profile.url);
    this.#max = profile.maxConnections;
    this.#settings = settings;
    this.#fixed = ["user-agent", settings.userAgent, ...authorization(init.credentials)];
    this.#pool = new Pool(this.#base.origin, {
      connections: profile.maxConnections,
      pipelining: 1,
      keepAliveTimeout: settings.idleTimeout,
      keepAliveMaxTimeout: settings.idleTimeout,
      headersTimeout: BACKSTOP,
      bodyTimeout: BACKSTOP,
      connect: { timeout: settings.connectTimeout, ...(added && { lookup: guard.lookup }) },
    });
  }

  /**
   * Opens sockets ahead of the requests to come; whoever made the connection opens the first one itself. A server that
   * does not answer is left to health checks.
   */
  preconnect(signal: AbortSignal): void {
    for (let opened = 1; opened < Math.min(this.#settings.preconnect, this.#max); opened++)
      this.probe(signal).catch(() => undefined);
  }

  send(request: WebDavRequest, attempt: Attempt): Promise<WebDavResponse> {
    return this.#dispatch(request, confine(this.#base, request.path), attempt, 0);
  }

  async probe(signal: AbortSignal): Promise<void> {
    const method = this.#settings.healthCheck;
    const response = await this.#pool.request({
      method: method as "OPTIONS",
      path: this.#base.path,
      headers: method === "PROPFIND" ? [...this.#fixed, "depth", "0"] : [...this.#fixed],
      signal,
    });
    await response.body.dump({ limit: PIECE });
    // 401 and 404 come from a server that works; whoever asks will be told.
    if (response.statusCode >= 500) throw new Error(`it answered the health check with ${response.statusCode}`);
  }

  stats(): ConnectionStats {
    const { connected, running } = this.#pool.stats;
    return { active: running, idle: Math.max(0, connected - running), max: this.#max };
  }

  /** Requests in flight end first. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close();
  }

  #dispatch(request: WebDavRequest, path: string, attempt: Attempt, redirects: number): Promise<WebDavResponse> {
    const headers = requestHeaders(this.#base, request, this.#fixed);
    const { method, body } = request;
    // A body is never sent a second time, so what carries one is not redirected; nor is what changes something.
    const follow: FollowRedirect | undefined =
      body === undefined && isSafe(method) && redirects < MOST_REDIRECTS
        ? (location) => {
            const next = below(this.#base, location, path);
            return next === undefined
              ? undefined
              : () => this.#dispatch(request, confine(this.#base, next), attempt, redirects + 1);
          }
        : undefined;
    const exchange = new Exchange(attempt, method === "HEAD", follow);
    const sent = outgoing(body, headers);
    // undici sends iterables and every method of WebDAV; its types know neither.
    const options = { method, path, headers, body: sent } as Dispatcher.DispatchOptions;
    this.#pool.dispatch(options, exchange);
    return exchange.response;
  }
}

function authorization(credentials: Credentials | undefined): readonly string[] {
  if (credentials?.token !== undefined) return ["authorization", `Bearer ${credentials.token}`];
  if (credentials?.username === undefined && credentials?.password === undefined) return [];
  const pair = `${credentials.username ?? ""}:${credentials.password ?? ""}`;
  return ["authorization", `Basic ${Buffer.from(pair, "utf8").toString("base64")}`];
}

/** A body as undici takes it. A generator stays unread when nothing could be sent, so a one-shot stream survives. */
function outgoing(
  body: WebDavBody | undefined,
  headers: string[],
): string | Uint8Array | AsyncIterable<Uint8Array> | undefined {
  if (body === undefined || typeof body === "string") return body;
  if (!(body instanceof Uint8Array)) return pulled(typeof body === "function" ? body : () => body);
  if (body.byteLength <= PIECE) return body;
  headers.push("content-length", String(body.byteLength));
  return pieces(body);
}

async function* pulled(open: () => AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* open();
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.byteLength; start += PIECE) yield bytes.subarray(start, start + PIECE);
}
