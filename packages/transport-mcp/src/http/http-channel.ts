import { randomUUID } from "node:crypto";
import { sleep, type Clock } from "@davpool/core";
import type { JSONRPCMessage, JSONRPCRequest, TransportSendOptions } from "@modelcontextprotocol/client";
import { deliver, discard, endRequest, type Channel, type Exchange } from "../channel.ts";
import {
  AnswerTooLargeError,
  ConnectionBrokenError,
  ConnectionClosedError,
  SessionLostError,
  UnusableAnswerError,
} from "../errors.ts";
import { isMessage } from "../message.ts";
import { ask, broken, refusalOf, textOf, type Endpoint, type HttpAnswer } from "./http-client.ts";
import { eventsOf, type ServerEvent } from "./event-stream.ts";
import { requestHeaders } from "./request-headers.ts";

/** How often a stream that broke off is taken up again where the server can do that. */
const MOST_RESUMES = 5;
/** Milliseconds before a stream is opened anew, where the server does not say. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 30_000;
/** Milliseconds that saying goodbye may take. */
const FAREWELL = 1_000;
/** Milliseconds that requests wait for the stream of what is no answer: some servers send its head with the first event. */
const STREAM_PATIENCE = 1_000;

/** Statuses with which servers refuse what belongs to a session that they do not know. */
const ABOUT_SESSION = new Set([400, 404, 405, 406, 409, 410, 412, 415, 422]);
/** Statuses of servers that never have a stream for what they say of their own accord. */
const NO_STREAM = new Set([404, 405, 406, 501]);
const POSTED = { "content-type": "application/json", accept: "application/json, text/event-stream" };

/** MCP over Streamable HTTP: each message is a POST, whose answer is a message or a stream of them. */
export class HttpChannel implements Channel {
  onmessage?: Channel["onmessage"];
  onerror?: Channel["onerror"];
  onclose?: Channel["onclose"];
  hear?: Channel["hear"];
  next: Exchange | undefined;
  /** In the modern era a request is cancelled by closing its stream. */
  readonly hasPerRequestStream = true;
  readonly ended: Promise<Error>;
  sessionId: string | undefined;
  #version: string | undefined;
  readonly #endpoint: Endpoint;
  readonly #clock: Clock;
  readonly #end: (why: Error) => void;
  readonly #closing = new AbortController();
  /** What ends the POST of each request that is under way. */
  readonly #underWay = new Map<string | number, AbortController>();
  /** The request that begins the session, until it is known which. */
  #greeting: { readonly stop: AbortController; readonly answered: PromiseWithResolvers<void> } | undefined;
  #closed: Promise<void> | undefined;

  constructor(endpoint: Endpoint, clock: Clock) {
    this.#endpoint = endpoint;
    this.#clock = clock;
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.ended = promise;
    this.#end = resolve;
  }

  get serverId(): string {
    return this.#endpoint.serverId;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  setProtocolVersion(version: string): void {
    this.#version = version;
  }

  async send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    const exchange = this.next;
    this.next = undefined;
    const request = "method" in message && "id" in message ? message : undefined;
    const stop = new AbortController();
    const abort = () => stop.abort(new ConnectionClosedError());
    const asked = options?.requestSignal;
    const greets = request?.method === "initialize";
    // Whoever closes has to know which session to end.
    const greeting = greets ? { stop, answered: Promise.withResolvers<void>() } : undefined;
    if (greeting) this.#greeting = greeting;
    const signals = [...(greets ? [] : [this.#closing.signal]), ...(asked ? [asked] : [])];
    for (const signal of signals) {
      signal.addEventListener("abort", abort, { once: true });
      if (signal.aborted) abort();
    }
    if (request) this.#underWay.set(request.id, stop);
    const done = () => {
      for (const signal of signals) signal.removeEventListener("abort", abort);
      if (request) this.#underWay.delete(request.id);
      if (greeting === this.#greeting) this.#greeting = undefined;
    };
    let streams = false;
    try {
      streams = await this.#post(message, request, exchange, stop.signal, done);
      if ("method" in message && message.method === "notifications/cancelled") this.#cancelled(message.params);
    } finally {
      greeting?.answered.resolve();
      if (!streams) done();
    }
  }

  /** Ends the session. Resolves when the server was told, or does not listen. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    const why = new ConnectionClosedError();
    this.#closing.abort(why);
    this.#end(why);
    this.onclose?.();
    const greeting = this.#greeting;
    if (!greeting && this.sessionId === undefined) return;
    const limit = new AbortController();
    const timer = this.#clock.after(FAREWELL, () => limit.abort(why), { background: true });
    limit.signal.addEventListener("abort", () => greeting?.answered.resolve());
    try {
      await greeting?.answered.promise;
      greeting?.stop.abort(why);
      const { sessionId } = this;
      this.sessionId = undefined;
      if (sessionId === undefined) return;
      const headers = { ...this.#common(), "mcp-session-id": sessionId };
      const { body } = await ask(this.#endpoint, "DELETE", this.#endpoint.url, { headers, signal: limit.signal });
      await body.dump();
    } catch {
      // A session that cannot be ended expires.
    } finally {
      timer[Symbol.dispose]();
    }
  }

  /** Sends a message. True when its answer is a stream that goes on after this has settled. */
  async #post(
    message: JSONRPCMessage,
    request: JSONRPCRequest | undefined,
    exchange: Exchange | undefined,
    signal: AbortSignal,
    done: () => void,
  ): Promise<boolean> {
    const { url, serverId, longestMessage } = this.#endpoint;
    const begins = request?.method === "initialize";
    const session = begins ? undefined : this.sessionId;
    const answer = await ask(this.#endpoint, "POST", url, {
      headers: {
        ...this.#common(),
        ...POSTED,
        ...(session !== undefined && { "mcp-session-id": session }),
        ...requestHeaders(request, exchange?.headers),
      },
      body: JSON.stringify(message),
      signal,
      exchange,
    });
    const { status, headers, body } = answer;
    if (status < 200 || status >= 300) {
      await this.#refused(answer, request, exchange, session);
      return false;
    }
    if (begins) {
      this.sessionId = single(headers["mcp-session-id"]);
      this.#greeting?.answered.resolve();
    }
    if (!request || status === 202) {
      await body.dump();
      if (request) throw new UnusableAnswerError("it accepted a request and promised no answer (HTTP 202)");
      if ("method" in message && message.method === "notifications/initialized") await this.#listening();
      return false;
    }
    const type = typeOf(answer);
    if (type === "text/event-stream") {
      void this.#follow(request, exchange, answer, signal).finally(done);
      return true;
    }
    let text: string;
    try {
      text = await textOf(answer, serverId, longestMessage, exchange);
    } catch (error) {
      throw broken(url, error);
    }
    if (type !== "application/json")
      throw new UnusableAnswerError(`it answered with ${type === "" ? "no content type" : type} instead of JSON`);
    const messages = [parsed(text)].flat();
    for (const one of messages) if (one) deliver(this, one, exchange);
    if (!messages.some((one) => one && answers(one, request)))
      throw new UnusableAnswerError("its answer is no JSON-RPC message, or belongs to another request");
    return false;
  }

  async #refused(
    answer: HttpAnswer,
    request: JSONRPCRequest | undefined,
    exchange: Exchange | undefined,
    session: string | undefined,
  ): Promise<void> {
    const { status } = answer;
    const { error, text } = await refusalOf(answer);
    const speaks = status < 500 && status !== 401 && status !== 429 && exchange && request;
    // A refusal that speaks JSON-RPC is the server's answer. Before the session stands, others judge it.
    const spoken = speaks ? [parsed(text)].flat()[0] : undefined;
    const named = spoken && "error" in spoken && request && answers(spoken, request);
    if (session !== undefined && !(await this.#knows(session, status, named === true))) {
      this.sessionId = undefined;
      this.#end(new SessionLostError(status));
      throw new SessionLostError(status);
    }
    if (!speaks || !spoken || !("error" in spoken)) throw error;
    // In the modern era it names the request; otherwise it comes from a server that did not understand it.
    if ("mcp-method" in requestHeaders(request, exchange?.headers) && !answers(spoken, request)) throw error;
    this.onmessage?.({ ...spoken, id: request.id });
  }

  /**
   * Whether a server that refused something in a session knows the session. The protocol asks for 404 where it does not;
   * many servers answer 400 instead, in words of their own, so they are asked.
   * @param named the refusal is an answer to the request.
   */
  async #knows(session: string, status: number, named: boolean): Promise<boolean> {
    if (status === 404) return false;
    if (named || !ABOUT_SESSION.has(status) || this.sessionId !== session) return true;
    const answer = await ask(this.#endpoint, "POST", this.#endpoint.url, {
      headers: { ...this.#common(), ...POSTED, "mcp-session-id": session },
      body: JSON.stringify({ jsonrpc: "2.0", id: randomUUID(), method: "ping" }),
      signal: this.#closing.signal,
    });
    await answer.body.dump();
    return !ABOUT_SESSION.has(answer.status);
  }

  /** Reads the stream that answers a request, and takes it up again where it broke off if the server can do that. */
  async #follow(
    request: JSONRPCRequest,
    exchange: Exchange | undefined,
    first: HttpAnswer,
    signal: AbortSignal,
  ): Promise<void> {
    let stream: HttpAnswer | undefined = first;
    let last: string | undefined;
    let pause = FIRST_PAUSE;
    let problem: unknown;
    for (let resumes = 0; ; resumes++) {
      try {
        for await (const event of this.#events(stream, exchange)) {
          last = event.id ?? last;
          pause = event.retry ?? pause;
          if (this.#take(event, exchange, request)) return;
        }
        if (stream && last !== undefined) exchange?.parted?.();
      } catch (error) {
        problem = error;
      }
      if (signal.aborted) return;
      // A person may take long to answer, and proxies cut what is silent.
      const asking = exchange !== undefined && exchange.questions > 0;
      if (asking && stream) resumes = 0;
      if (last === undefined || resumes >= MOST_RESUMES || problem instanceof AnswerTooLargeError) break;
      const wait = stream ? pause : Math.max(pause, FIRST_PAUSE) * 2 ** resumes;
      await sleep(this.#clock, Math.min(wait, LONGEST_PAUSE), { signal });
      try {
        stream = await this.#open(signal, last);
      } catch {
        if (signal.aborted) return;
        stream = undefined;
      }
      // What has been asked is not thrown away for one stream that could not be opened.
      if (!stream && !asking) break;
    }
    const why = problem instanceof AnswerTooLargeError ? problem : streamEnded(problem);
    endRequest(this, request.id, exchange, why);
  }

  /** Most servers lose what they say before the stream for it stands: a tool's first question, for one. */
  async #listening(): Promise<void> {
    const stands = Promise.withResolvers<void>();
    void this.#listen(stands.resolve);
    const timer = this.#clock.after(STREAM_PATIENCE, stands.resolve, { background: true });
    await stands.promise;
    timer[Symbol.dispose]();
  }

  /** The stream for what the server says of its own accord. Not every server has one. */
  async #listen(tried: () => void): Promise<void> {
    const { signal } = this.#closing;
    let last: string | undefined;
    let pause = FIRST_PAUSE;
    for (;;) {
      try {
        const stream = await this.#open(signal, last).finally(tried);
        if (!stream) return;
        const openedAt = this.#clock.now();
        for await (const event of this.#events(stream, undefined)) {
          last = event.id ?? last;
          pause = event.retry ?? FIRST_PAUSE;
          this.#take(event);
        }
        pause = this.#clock.now() - openedAt > LONGEST_PAUSE ? FIRST_PAUSE : 2 * pause;
      } catch {
        pause *= 2;
      }
      pause = Math.min(pause, LONGEST_PAUSE);
      await sleep(this.#clock, pause, { signal, background: true });
      if (signal.aborted) return;
    }
  }

  /** Undefined where the server has no such stream. @throws where it may have one later. */
  async #open(signal: AbortSignal, last: string | undefined): Promise<HttpAnswer | undefined> {
    const { sessionId } = this;
    const answer = await ask(this.#endpoint, "GET", this.#endpoint.url, {
      headers: {
        ...this.#common(),
        accept: "text/event-stream",
        ...(sessionId !== undefined && { "mcp-session-id": sessionId }),
        ...(last !== undefined && { "last-event-id": last }),
      },
      signal,
    });
    if (answer.status === 200 && typeOf(answer) === "text/event-stream") return answer;
    await answer.body.dump();
    if (NO_STREAM.has(answer.status)) return undefined;
    throw new ConnectionBrokenError(`it opened no stream (HTTP ${answer.status})`);
  }

  #events(stream: HttpAnswer | undefined, exchange: Exchange | undefined): AsyncGenerator<ServerEvent> {
    const body = (stream?.body ?? []) as AsyncIterable<Buffer>;
    const { serverId, longestMessage } = this.#endpoint;
    return eventsOf(body, serverId, longestMessage, (bytes) => exchange?.moved(bytes));
  }

  /** True when it answered the request. */
  #take({ type, data, outline }: ServerEvent, about?: Exchange, request?: JSONRPCRequest): boolean {
    if (outline) {
      const { serverId, longestMessage } = this.#endpoint;
      discard(this, outline, about, AnswerTooLargeError.tooLong(serverId, longestMessage));
      return request !== undefined && answers(outline, request);
    }
    if (type !== "message" || data === "") return false;
    const message = [parsed(data)].flat()[0];
    if (message) deliver(this, message, about);
    return message !== undefined && request !== undefined && answers(message, request);
  }

  /** The server was told; its answer is not waited for any more. */
  #cancelled(params: unknown): void {
    const { requestId } = (params ?? {}) as { requestId?: string | number };
    if (requestId !== undefined) this.#underWay.get(requestId)?.abort(new ConnectionClosedError());
  }

  #common(): Record<string, string> {
    return this.#version === undefined ? {} : { "mcp-protocol-version": this.#version };
  }
}

function streamEnded(cause: unknown): ConnectionBrokenError {
  return new ConnectionBrokenError("its stream ended before the answer came", cause);
}

function answers(
  message: { readonly id?: unknown; readonly method?: unknown },
  { id }: Pick<JSONRPCRequest, "id">,
): boolean {
  return message.method === undefined && String(message.id) === String(id);
}

function parsed(text: string): JSONRPCMessage | JSONRPCMessage[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value)) return value.filter((one) => isMessage(one));
    return isMessage(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The media type in lower case, without parameters; "" for none. */
function typeOf({ headers }: HttpAnswer): string {
  const [type = ""] = (single(headers["content-type"]) ?? "").split(";", 1);
  return type.trim().toLowerCase();
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
