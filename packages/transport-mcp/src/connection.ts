import {
  CredentialsRefusedError,
  describeError,
  type Attempt,
  type Clock,
  type Connection,
  type ConnectionStats,
  type Log,
} from "@davpool/core";
import { ConnectionClosedError, NotConnectedError, SessionLostError, UnusableAnswerError } from "./errors.ts";
import type { Link } from "./link.ts";
import { refusesCredentials, statusOf } from "./problem.ts";
import type { McpRequest, McpResponse, McpWire } from "./wire.ts";

/** How one server's sessions begin, and how patient one is with them. */
export interface Opening {
  readonly serverId: string;
  /** It serves one session of a caller, which has a state in that of the server's. */
  readonly ofSession: boolean;
  /** Begins a session. Must end soon after the signal aborts. */
  open(signal: AbortSignal): Promise<Link>;
  /** Why a session could not begin, in one line for an operator. */
  problem(error: unknown): string;
  /** Forgets the era of the server: what it answered does not fit it. */
  doubt(): void;
  /** Called when a session could not begin. */
  troubled(): void;
  /** Called once, when it begins to close. */
  leaving(): void;
  /** Called once, when nothing will be opened any more. */
  release(): Promise<void>;
  /** Beginning anew costs something, as a process does: one request begins one session, however often it is tried. */
  readonly costly: boolean;
  /** Milliseconds. */
  readonly startTimeout: number;
  readonly firstPause: number;
  readonly longestPause: number;
  readonly random: () => number;
}

/** HTTP statuses with which an endpoint says that it is none of the modern era. The request was not looked at. */
const NOT_MODERN = new Set([400, 404, 405, 406, 415]);

/**
 * One server, with one session at a time: begun at once, begun anew when it is lost, and tried again for ever with
 * growing pauses when that fails. A session that had served is begun anew at once.
 */
export class McpConnection implements Connection<McpWire> {
  readonly #opening: Opening;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #max: number;
  /** Aborts when the pool closes, and when this connection does. */
  readonly #stop = new AbortController();
  #link: Link | undefined;
  /** The one beginning that is under way, for all who wait for it. */
  #beginning: Promise<Link> | undefined;
  #timer: Disposable | undefined;
  #failures = 0;
  #problem: NotConnectedError | undefined;
  /** The request that began a session last. */
  #beginner: McpRequest | undefined;
  readonly #leaving = new Set<Promise<void>>();
  #closed: Promise<void> | undefined;

  constructor(opening: Opening, max: number, clock: Clock, log: Log, pool: AbortSignal) {
    this.#opening = opening;
    this.#max = max;
    this.#clock = clock;
    this.#log = log;
    const end = () => this.#stop.abort(new ConnectionClosedError());
    if (pool.aborted) end();
    else pool.addEventListener("abort", end, { once: true, signal: this.#stop.signal });
    this.#begin().catch(() => {});
  }

  async send(request: McpRequest, attempt: Attempt): Promise<McpResponse> {
    const link = this.#link ?? (await this.#ready(request));
    attempt.signal.throwIfAborted();
    try {
      const response = await link.request(request, attempt);
      if (link.era === "legacy" || !response.refusal || !NOT_MODERN.has(response.refusal.status)) return response;
      // The server was replaced by one of the older era.
      this.#opening.doubt();
      this.#lost(link, new SessionLostError());
    } catch (error) {
      if (error instanceof UnusableAnswerError && link.era === "modern") {
        // It may be one of the older era by now, which keeps to other rules. What it did, it did.
        this.#opening.doubt();
        this.#lost(link, error);
      }
      if (!(error instanceof SessionLostError)) throw error;
      this.#lost(link, error);
    }
    // A server that does not know the session has done nothing: once more, in a new one, whatever it is.
    const renewed = await this.#ready();
    attempt.signal.throwIfAborted();
    return renewed.request(request, attempt);
  }

  async probe(signal: AbortSignal): Promise<void> {
    const link = this.#link ?? (await this.#checked());
    signal.throwIfAborted();
    try {
      await link.ping(signal);
    } catch (error) {
      const status = statusOf(error);
      const strange = error instanceof UnusableAnswerError || (status !== undefined && NOT_MODERN.has(status));
      if (refusesCredentials(error)) throw this.#refused(error);
      if (link.era === "modern" && strange) this.#opening.doubt();
      else if (!(error instanceof SessionLostError)) throw status === undefined ? error : this.#notConnected(error);
      this.#lost(link, new SessionLostError());
      await (await this.#ready()).ping(signal);
    }
  }

  stats(): ConnectionStats {
    const active = this.#link?.inFlight ?? 0;
    return { active, idle: this.#link && active === 0 ? 1 : 0, max: this.#max };
  }

  /** What the server knows of a session cannot be made anew. In the modern era it knows nothing. */
  get lasting(): boolean {
    return this.#opening.ofSession && this.#link?.era === "legacy";
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#opening.leaving();
    this.#stop.abort(new ConnectionClosedError());
    this.#timer?.[Symbol.dispose]();
    const link = this.#link;
    this.#link = undefined;
    await Promise.allSettled([link?.close(), this.#beginning, ...this.#leaving]);
    await this.#opening.release();
  }

  /**
   * A session. While it waits after a failure it begins at once for whoever needs it.
   * @param request for which it has begun in vain already: it is told why.
   */
  #ready(request?: McpRequest): Promise<Link> {
    if (this.#link) return Promise.resolve(this.#link);
    const { costly } = this.#opening;
    if (request && request === this.#beginner && costly && !this.#beginning && this.#problem)
      return Promise.reject(this.#problem);
    this.#beginner = request;
    return this.#begin();
  }

  /** @throws CredentialsRefusedError */
  async #checked(): Promise<Link> {
    try {
      return await this.#ready();
    } catch (error) {
      throw refusesCredentials(error) ? this.#refused(error) : error;
    }
  }

  #refused(cause: unknown): CredentialsRefusedError {
    return new CredentialsRefusedError(this.#opening.serverId, { cause });
  }

  #begin(): Promise<Link> {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    return (this.#beginning ??= this.#open());
  }

  async #open(): Promise<Link> {
    const { startTimeout } = this.#opening;
    const limit = new AbortController();
    const end = () => limit.abort(new ConnectionClosedError());
    this.#stop.signal.addEventListener("abort", end, { once: true });
    if (this.#stop.signal.aborted) end();
    const timer = this.#clock.after(startTimeout, () =>
      limit.abort(new NotConnectedError(`no session within ${startTimeout} ms; raise startTimeout if it needs longer`)),
    );
    try {
      const link = await this.#opening.open(limit.signal);
      if (this.#stop.signal.aborted) {
        await link.close();
        throw new ConnectionClosedError();
      }
      link.began();
      this.#link = link;
      this.#beginning = undefined;
      this.#problem = undefined;
      void link.ended.then((why) => this.#lost(link, why));
      return link;
    } catch (error) {
      // From now on a new one may begin, which is about to be planned.
      this.#beginning = undefined;
      if (this.#stop.signal.aborted) throw new ConnectionClosedError();
      const why = limit.signal.aborted ? limit.signal.reason : error;
      throw this.#failed(this.#notConnected(why));
    } finally {
      timer[Symbol.dispose]();
      this.#stop.signal.removeEventListener("abort", end);
    }
  }

  /** The session is over. What it still carries comes to its own end. */
  #lost(link: Link, why: Error): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    const leaving: Promise<void> = link
      .closeWhenIdle()
      .catch(() => {})
      .finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
    if (this.#stop.signal.aborted) return;
    const { serverId } = this.#opening;
    this.#log.info("The session with a server has ended; a new one begins.", { serverId, reason: describeError(why) });
    if (link.served > 0) {
      this.#failures = 0;
      this.#begin().catch(() => {});
      return;
    }
    // It began, and was good for nothing: as one that did not begin.
    this.#failed(this.#notConnected(why));
  }

  #failed(problem: NotConnectedError): NotConnectedError {
    this.#problem = problem;
    this.#opening.troubled();
    const { serverId, firstPause, longestPause, random } = this.#opening;
    const pause = Math.min(firstPause * 2 ** Math.min(this.#failures++, 20), longestPause) * (0.5 + random() / 2);
    const level = this.#failures === 1 ? "warn" : "debug";
    this.#log[level](`There is no session with a server: ${problem.message}`, { serverId, next: Math.round(pause) });
    this.#timer?.[Symbol.dispose]();
    // Who keeps knocking with credentials that are refused is locked out in the end. Requests and checks may try again.
    if (refusesCredentials(problem)) return problem;
    this.#timer = this.#clock.after(pause, () => void this.#begin().catch(() => {}), { background: true });
    return problem;
  }

  #notConnected(error: unknown): NotConnectedError {
    if (error instanceof NotConnectedError) return error;
    return new NotConnectedError(this.#opening.problem(error), statusOf(error), error);
  }
}
