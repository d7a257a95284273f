import {
  CredentialsRefusedError,
  type AddressGuard,
  type Attempt,
  type Clock,
  type ConnectInit,
  type Connection,
  type ConnectionStats,
  type Credentials,
} from "@davpool/core";
import { Pool } from "undici";
import { Exchange, type FollowRedirect } from "./exchange.ts";
import { InvalidBodyError } from "./errors.ts";
import { requireLimits } from "./limits.ts";
import { isReplayable, isSafe } from "./methods.ts";
import { implausible, knowsWebDav } from "./plausibility.ts";
import { shown } from "./profile.ts";
import { connector } from "./stale-sockets.ts";
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

/** Attempts are timed by the engine; this ends what it may have overlooked, and never a transfer that is meant to last. */
const BACKSTOP = 86_400_000;
const MOST_REDIRECTS = 5;
/** Larger bodies are sent in pieces, so that progress can be seen. */
const PIECE = 64 * 1024;
/** undici closes the socket after a body that HTTP gives no meaning to; WebDAV gives these one. */
const WITH_BODY = new Set(["LOCK", "REPORT", "SEARCH"]);

/** One server's sockets, as an undici pool of `maxConnections`. */
export class WebDavConnection implements Connection<WebDavWire> {
  readonly #pool: Pool;
  readonly #base: Base;
  readonly #fixed: readonly string[];
  readonly #serverId: string;
  /** It has credentials. */
  readonly #authorized: boolean;
  readonly #max: number;
  readonly #settings: ConnectionSettings;
  readonly #closing: AbortSignal;
  #closed: Promise<void> | undefined;

  constructor(profile: WebDavProfile, init: ConnectInit, settings: ConnectionSettings, guard: AddressGuard) {
    const added = init.origin === "added";
    if (added) guard.connecting(new URL(profile.url));
    this.#base = baseOf(profile.url);
    this.#serverId = profile.serverId;
    this.#max = profile.maxConnections;
    this.#settings = settings;
    this.#closing = init.signal;
    const authorized = authorization(init.credentials);
    this.#authorized = authorized.length > 0;
    this.#fixed = ["user-agent", settings.userAgent, ...authorized];
    this.#pool = new Pool(this.#base.origin, {
      connections: profile.maxConnections,
      pipelining: 1,
      // One request a socket: what the slots, the counts and the way an abort works all rest on.
      allowH2: false,
      keepAliveTimeout: Math.max(1, settings.idleTimeout),
      keepAliveMaxTimeout: Math.max(1, settings.idleTimeout),
      headersTimeout: BACKSTOP,
      bodyTimeout: BACKSTOP,
      connect: connector({
        timeout: settings.connectTimeout,
        allowH2: false,
        ...(added && { lookup: guard.lookup }),
      }),
    });
  }

  /**
   * Opens sockets ahead of the requests to come; whoever made the connection opens the first one itself. A server that
   * does not answer is left to health checks, and its sockets to the requests.
   */
  preconnect(clock: Clock): void {
    const count = Math.min(this.#settings.preconnect, this.#max) - 1;
    if (count <= 0) return;
    const limit = new AbortController();
    const timer = clock.after(this.#settings.connectTimeout, () => limit.abort(), { background: true });
    const signal = AbortSignal.any([this.#closing, limit.signal]);
    const opened = Array.from({ length: count }, () => this.#check(signal));
    void Promise.allSettled(opened).then(() => timer[Symbol.dispose]());
  }

  send(request: WebDavRequest, attempt: Attempt): Promise<WebDavResponse> {
    try {
      attempt.signal.throwIfAborted();
      requireLimits(request);
      return this.#dispatch(request, confine(this.#base, request.path), attempt, 0);
    } catch (error) {
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- may be the engine's reason to abort
      return Promise.reject(error);
    }
  }

  probe(signal: AbortSignal): Promise<string | undefined> {
    return this.#check(signal);
  }

  stats(): ConnectionStats {
    const { connected, running } = this.#pool.stats;
    return { active: running, idle: Math.max(0, connected - running), max: this.#max };
  }

  /** Requests in flight end first, unless the whole pool closes: it has given them their time. */
  [Symbol.asyncDispose](): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    if (this.#closing.aborted) return this.#pool.destroy();
    const cut = Promise.withResolvers<void>();
    const destroy = () => cut.resolve(this.#pool.destroy());
    this.#closing.addEventListener("abort", destroy, { once: true });
    await Promise.race([cut.promise, this.#pool.close()]);
    this.#closing.removeEventListener("abort", destroy);
  }

  async #check(signal: AbortSignal): Promise<string | undefined> {
    const { healthCheck } = this.#settings;
    const answer = await this.#ask(healthCheck, signal);
    if (healthCheck === "PROPFIND" || answer.status > 299 || knowsWebDav(answer)) return undefined;
    // Gateways answer OPTIONS themselves, for browsers; the server behind may be well.
    await this.#ask("PROPFIND", signal);
    return undefined;
  }

  /** @throws where the answer shows that the server is not well, or is no WebDAV server. */
  async #ask(method: "OPTIONS" | "PROPFIND", signal: AbortSignal): Promise<WebDavResponse> {
    const request = { method, path: "", ...(method === "PROPFIND" && { headers: { depth: "0" } }) };
    const answer = await this.send(request, unmanaged(signal));
    const { status, headers, body } = answer;
    await body.read(PIECE);
    if (status >= 500) throw new Error(`it answered the health check with ${status}`);
    if (status >= 300 && status < 400)
      throw new Error(
        `it answered the health check with a redirect (HTTP ${status}) to ${shown(String(headers["location"] ?? "nowhere"))}; set url to the address of the collection itself`,
      );
    // Without credentials of the server's own, 401 says that it works: callers bring theirs.
    if (status === 401 && this.#authorized) throw new CredentialsRefusedError(this.#serverId);
    const problem = implausible(request, answer);
    if (problem !== undefined)
      throw new Error(`${problem}: this is no WebDAV collection, or something before it answers; check url`);
    return answer;
  }

  #dispatch(request: WebDavRequest, path: string, attempt: Attempt, redirects: number): Promise<WebDavResponse> {
    const headers = requestHeaders(this.#base, request, this.#fixed);
    const { method, body } = request;
    // What changes something is not redirected, nor is a body that can be read only once.
    const follow: FollowRedirect | undefined =
      isReplayable(body) && isSafe(method) && redirects < MOST_REDIRECTS
        ? (location) => {
            const next = below(this.#base, location, path);
            return next === undefined
              ? undefined
              : async () => {
                  const response = await this.#dispatch(request, confine(this.#base, next), attempt, redirects + 1);
                  return { redirectedTo: next, ...response };
                };
          }
        : undefined;
    const sent = { method, path, headers, body: outgoing(body, headers), reset: WITH_BODY.has(method) ? false : null };
    return new Exchange(this.#pool, sent, attempt, this.#authorized, follow).send();
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
  if (body === undefined) return body;
  if (typeof body !== "string" && !(body instanceof Uint8Array))
    return pulled(typeof body === "function" ? body : () => body);
  if (body.length <= PIECE) return body;
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  headers.push("content-length", String(bytes.byteLength));
  return pieces(bytes);
}

async function* pulled(open: () => AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* open();
  } catch (error) {
    // The caller's own trouble: its code must not be taken for the connection's.
    throw new InvalidBodyError(error);
  }
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.byteLength; start += PIECE) yield bytes.subarray(start, start + PIECE);
}

/** For the connection's own requests, which the engine does not count. */
function unmanaged(signal: AbortSignal): Attempt {
  const idle = { sent() {}, progress() {}, hold: () => () => {}, resume: () => false };
  return { serverId: "", ordinal: 1, caller: {}, signal, streamed: false, ...idle };
}
