import { describeError, type Attempt, type Clock, type Log } from "@davpool/core";
import {
  CLIENT_CAPABILITIES_META_KEY,
  Client,
  ProtocolError,
  ProtocolErrorCode,
  SUBSCRIPTION_ID_META_KEY,
  SdkError,
  SdkErrorCode,
  type JSONRPCRequest,
  type PriorDiscovery,
  type StandardSchemaV1,
} from "@modelcontextprotocol/client";
import { Answers } from "./answers.ts";
import type { Channel, Exchange, Said } from "./channel.ts";
import { ConnectionBrokenError, InvalidRequestError, NotConnectedError, UnusableAnswerError } from "./errors.ts";
import type { McpHost, UpstreamClient, UpstreamSession } from "./host.ts";
import { HttpRefusalError } from "./http/http-client.ts";
import { ListEntries } from "./list-entries.ts";
import { Listening } from "./listening.ts";
import { Questions, type Occasion } from "./questions.ts";
import type { Era, McpProgress, McpRequest, McpResponse } from "./wire.ts";

/** The longest time that a timer takes: attempts are timed by the engine. */
const FOREVER = 2 ** 31 - 1;
/** What a result is, is between the server and whoever asked. */
const ANYTHING: StandardSchemaV1<unknown, Readonly<Record<string, unknown>>> = {
  "~standard": {
    version: 1,
    vendor: "davpool",
    validate: (value) => ({ value: value as Readonly<Record<string, unknown>> }),
  },
};
/** The protocol's revision that `era: "modern"` insists on. */
const MODERN = "2026-07-28";

export interface LinkSettings {
  readonly name: string;
  readonly version: string;
  /** Milliseconds that a process may take to answer the question for its era. */
  readonly probeTimeout: number;
  readonly host: McpHost;
  readonly session: Pick<UpstreamSession, "pool" | "serverId" | "partition" | "relates">;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

type Fields = Readonly<Record<string, unknown>>;

/** A request of the engine's that is under way. */
interface Running {
  readonly request: McpRequest;
  readonly attempt: Attempt;
}

/** A session with one server: begun, and good for requests until it ends. */
export class Link {
  readonly #client: Client;
  readonly #channel: Channel;
  readonly #settings: LinkSettings;
  readonly #host: UpstreamClient;
  readonly #questions: Questions;
  readonly #answers: Answers;
  /** Oldest first. */
  readonly #running = new Map<Exchange, Running>();
  /** A request ended without its answer: what the server asks from now on may be about that one. */
  #abandoned = false;
  #begun = false;
  /** In the modern era, once it has begun. */
  #listening: Listening | undefined;
  /** Those who want to hear of progress, by the token that it comes with. */
  readonly #listeners = new Map<string, (progress: McpProgress) => void>();
  #tokens = 0;
  #drained: (() => void) | undefined;
  /** Requests that it answered. */
  served = 0;

  private constructor(channel: Channel, era: Era | "auto", settings: LinkSettings) {
    const { name, version, host, log, session } = settings;
    this.#channel = channel;
    this.#settings = settings;
    this.#host = host.client(this.#seen());
    this.#answers = new Answers(channel);
    this.#questions = new Questions((answer) => channel.send(answer), log, session.serverId);
    this.#client = new Client(
      { name, version },
      {
        capabilities: this.#host.capabilities,
        versionNegotiation: {
          mode: era === "modern" ? { pin: MODERN } : "auto",
          probe: { timeoutMs: settings.probeTimeout },
        },
        inputRequired: { autoFulfill: false },
      },
    );
    this.#client.onerror = () => {};
    // Before anything is sent: servers may ask as soon as they are greeted.
    channel.hear = (said, about) => this.#hear(said, about);
    void channel.ended.then(() => this.#over());
  }

  /** Begins a session: finds out the era, unless it is known, and says hello. */
  static async open(
    channel: Channel,
    era: Era | "auto",
    prior: PriorDiscovery | undefined,
    settings: LinkSettings,
  ): Promise<Link> {
    const link = new Link(channel, era, settings);
    const known: PriorDiscovery | undefined = era === "legacy" ? { kind: "legacy" } : prior;
    await link.#client.connect(channel, { timeout: FOREVER, ...(known && { prior: known }) });
    const { onmessage } = channel;
    const entries = new ListEntries(settings.log, settings.session);
    channel.onmessage = (message, extra) => {
      const checked = entries.checked(message);
      if (!link.#answers.take(checked)) onmessage?.(checked, extra);
    };
    return link;
  }

  /** It stands, and is about to be used. Call it once. */
  began(): void {
    this.#begun = true;
    const { clock, log, random, session } = this.#settings;
    if (this.era === "modern")
      this.#listening = new Listening(this.#client.getServerCapabilities() ?? {}, {
        serverId: session.serverId,
        clock,
        log,
        random,
        listen: (filter, options) => this.#listen(filter, options),
      });
    this.#tell(() => this.#host.began?.());
  }

  get inFlight(): number {
    return this.#running.size;
  }
  get ended(): Promise<Error> {
    return this.#channel.ended;
  }
  get era(): Era {
    return this.#client.getProtocolEra() ?? "legacy";
  }

  /** For the next session with the same server. */
  get verdict(): PriorDiscovery {
    const discover = this.#client.getDiscoverResult();
    return this.era === "modern" && discover ? { kind: "modern", discover } : { kind: "legacy" };
  }

  async request(request: McpRequest, attempt: Attempt): Promise<McpResponse> {
    const { method, params, onProgress, onParted, capabilities, headers } = request;
    const exchange: Exchange = {
      sent: () => attempt.sent(),
      moved: (bytes) => attempt.progress(bytes),
      failure: undefined,
      questions: 0,
      headers,
      parted: onParted,
    };
    const token = method === "tools/call" || onProgress ? `davpool-${++this.#tokens}` : undefined;
    if (token !== undefined)
      this.#listeners.set(token, (progress) => {
        // As good as any amount of bytes: the server is at work.
        attempt.progress(Number.MAX_SAFE_INTEGER);
        onProgress?.(progress);
      });
    const meta = {
      ...(token !== undefined && { progressToken: token }),
      ...(capabilities && this.era === "modern" && { [CLIENT_CAPABILITIES_META_KEY]: capabilities }),
    };
    this.#running.set(exchange, { request, attempt });
    try {
      const result = await this.#result(method, withMeta(params, meta), attempt.signal, exchange);
      this.served++;
      return { result };
    } catch (error) {
      if (!(error instanceof ProtocolError) || exchange.failure) this.#questions.given(exchange);
      // Whatever the reason for it is called, the server has nothing to do with it, and may be at work on it still.
      if (attempt.signal.aborted) {
        this.#abandoned = true;
        throw error;
      }
      return await this.#meaning(error, exchange);
    } finally {
      if (token !== undefined) this.#listeners.delete(token);
      this.#running.delete(exchange);
      if (this.#running.size === 0) this.#drained?.();
    }
  }

  /** Resolves when the server is well: `ping`, or `server/discover` in the modern era, which has no ping. */
  async ping(signal: AbortSignal): Promise<void> {
    const options = { signal, timeout: FOREVER };
    try {
      if (this.era === "modern") await this.#client.discover(options);
      else await this.#client.ping(options);
      this.served++;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw await this.#broken(error);
      // It speaks, if only to say that it knows no ping. In the modern era every server knows what it is asked.
      if (this.era === "modern")
        throw new UnusableAnswerError(`it answers server/discover with an error: ${error.message}`, error);
    }
  }

  /** Ends the session once its requests have ended. */
  async closeWhenIdle(): Promise<void> {
    if (this.#running.size > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
    await this.close();
  }

  close(): Promise<void> {
    return this.#channel.close();
  }

  /** The session as its host sees it. */
  #seen(): UpstreamSession {
    const begun = () => this.#begun;
    const eraNow = () => (begun() ? this.era : undefined);
    const capabilitiesNow = () => (begun() ? (this.#client.getServerCapabilities() as Fields | undefined) : undefined);
    return {
      ...this.#settings.session,
      get era() {
        return eraNow();
      },
      get serverCapabilities() {
        return capabilitiesNow();
      },
      notify: async (method, params) => {
        if (!begun()) return;
        try {
          await this.#client.notification({ method, ...(params && { params: { ...params } }) });
        } catch (error) {
          this.#debug("A notification did not reach a server.", error);
        }
      },
      request: async (method, params, signal) => {
        if (!begun()) throw new NotConnectedError("the session with the server has not begun");
        try {
          return await this.#result(method, { ...params }, signal, undefined);
        } catch (error) {
          throw error instanceof ProtocolError ? error : await this.#broken(error);
        }
      },
    };
  }

  /** One answer of the server. */
  async #result(
    method: string,
    params: Record<string, unknown> | undefined,
    signal: AbortSignal,
    exchange: Exchange | undefined,
  ): Promise<Fields> {
    if (this.#listening && (method === "resources/subscribe" || method === "resources/unsubscribe")) {
      // The modern era has no such requests, but a stream whose filter can be changed.
      const uri = params?.["uri"];
      if (typeof uri !== "string") throw new ProtocolError(ProtocolErrorCode.InvalidParams, "uri must be a string");
      exchange?.sent();
      if (method === "resources/subscribe") await this.#listening.subscribe(uri, signal);
      else await this.#listening.unsubscribe(uri, signal);
      return {};
    }
    if (this.era === "legacy") return this.#answers.ask(method, params, signal, exchange);
    this.#channel.next = exchange;
    const answer = this.#client.request({ method, ...(params && { params }) }, ANYTHING, {
      signal,
      timeout: FOREVER,
      allowInputRequired: true,
    });
    // It was taken by now, unless nothing could be sent.
    this.#channel.next = undefined;
    return answer;
  }

  #listen(...[filter, options]: Parameters<Client["listen"]>): ReturnType<Client["listen"]> {
    // With an exchange, a refusal that speaks the protocol is the server's answer.
    this.#channel.next = { sent() {}, moved() {}, failure: undefined, questions: 0 };
    const opening = this.#client.listen(filter, options);
    this.#channel.next = undefined;
    return opening;
  }

  /** What the server says without having been asked. */
  #hear(said: Said, about: Exchange | undefined): boolean {
    const { method, params } = said;
    if ("id" in said) {
      this.#asked(said, about);
      return true;
    }
    switch (method) {
      case "notifications/progress":
        // The protocol's machinery forgets the progress that comes together with the answer.
        this.#tell(() => this.#progressed(params ?? {}));
        return true;
      case "notifications/cancelled":
        return this.#questions.withdrawn(params?.["requestId"]);
      case "notifications/subscriptions/acknowledged":
        return false;
      default:
        this.#tell(() => this.#host.notified?.(method, ordinary(params), about && this.#running.get(about)?.request));
        return true;
    }
  }

  #asked(question: JSONRPCRequest, about: Exchange | undefined): void {
    // In the modern era servers ask in their answers, and nobody answers what they ask otherwise.
    if (this.era === "modern") return;
    if (question.method === "ping") {
      void this.#questions.answer(question.id, { result: {} });
      return;
    }
    void this.#questions.ask(question, this.#host, about ? this.#related(about) : this.#likely());
  }

  /** Of a question on a request's own stream. */
  #related(exchange: Exchange): Occasion {
    const running = this.#running.get(exchange);
    return { request: running?.request, attempts: running ? [running.attempt] : [], exchange };
  }

  /** Of a question that does not say what it belongs to. */
  #likely(): Occasion {
    const running = [...this.#running.values()];
    // In a partition, whatever is under way is of one caller; where all share the session, only the only one is sure.
    const sure = this.#settings.session.partition !== "" || (running.length === 1 && !this.#abandoned);
    return {
      request: sure ? running.at(-1)?.request : undefined,
      attempts: running.map(({ attempt }) => attempt),
      exchange: undefined,
    };
  }

  #over(): void {
    this.#questions.endAll();
    this.#listening?.close();
    this.#tell(() => this.#host.ended?.());
  }

  /** Tells the host. What it makes of it is its own affair. */
  #tell(tell: () => void): void {
    try {
      tell();
    } catch (error) {
      const { log, session } = this.#settings;
      log.error("Something failed that was told what a server says.", {
        serverId: session.serverId,
        error: describeError(error),
      });
    }
  }

  #debug(message: string, error: unknown): void {
    const { log, session } = this.#settings;
    log.debug(message, { serverId: session.serverId, reason: describeError(error) });
  }

  #progressed({ progressToken: token, ...progress }: Readonly<Record<string, unknown>>): void {
    if (typeof progress["progress"] === "number")
      this.#listeners.get(String(token))?.(progress as unknown as McpProgress);
  }

  async #meaning(error: unknown, exchange: Exchange): Promise<McpResponse> {
    if (exchange.failure) throw exchange.failure;
    if (error instanceof HttpRefusalError) return { refusal: error.refusal };
    if (!(error instanceof ProtocolError)) throw await this.#broken(error);
    this.served++;
    const { code, message, data } = error;
    return { error: { code, message, ...(data !== undefined && { data }) } };
  }

  /** What the protocol's machinery says in its own words. */
  async #broken(error: unknown): Promise<unknown> {
    if (!(error instanceof SdkError) || error instanceof HttpRefusalError) return error;
    switch (error.code) {
      case SdkErrorCode.ConnectionClosed:
      case SdkErrorCode.NotConnected:
        return this.#channel.ended;
      case SdkErrorCode.MethodNotSupportedByProtocolVersion:
        return new InvalidRequestError(`${error.message}. Ask a server of the other era.`);
      case SdkErrorCode.InvalidResult:
      case SdkErrorCode.UnsupportedResultType:
        return new UnusableAnswerError(`its answer is not what the protocol asks for: ${error.message}`, error);
      default:
        return new ConnectionBrokenError(error.message, error);
    }
  }
}

function withMeta(params: Fields | undefined, added: Fields): Record<string, unknown> | undefined {
  if (Object.keys(added).length === 0) return params && { ...params };
  return { ...params, _meta: { ...(params?.["_meta"] as object | undefined), ...added } };
}

/** As servers of the older era say it: without the id of the stream on which it came. */
function ordinary(params: Fields | undefined): Fields | undefined {
  const meta = params?.["_meta"] as Fields | undefined;
  if (!params || meta?.[SUBSCRIPTION_ID_META_KEY] === undefined) return params;
  const { _meta: _, ...rest } = params;
  const { [SUBSCRIPTION_ID_META_KEY]: _id, ...others } = meta;
  return Object.keys(others).length === 0 ? rest : { ...rest, _meta: others };
}
