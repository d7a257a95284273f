import type { Attempt } from "@davpool/core";
import {
  Client,
  ProtocolError,
  SdkError,
  SdkErrorCode,
  type PriorDiscovery,
  type StandardSchemaV1,
} from "@modelcontextprotocol/client";
import type { Channel, Exchange } from "./channel.ts";
import { ConnectionBrokenError, InvalidRequestError, UnusableAnswerError } from "./errors.ts";
import { HttpRefusalError } from "./http/http-client.ts";
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
  readonly notified: (method: string, params: Readonly<Record<string, unknown>> | undefined) => void;
}

/** A session with one server: begun, and good for requests until it ends. */
export class Link {
  readonly #client: Client;
  readonly #channel: Channel;
  /** Those who want to hear of progress, by the token that it comes with. */
  readonly #listeners = new Map<string, (progress: McpProgress) => void>();
  #tokens = 0;
  #inFlight = 0;
  #drained: (() => void) | undefined;
  /** Requests that it answered. */
  served = 0;

  private constructor(client: Client, channel: Channel) {
    this.#client = client;
    this.#channel = channel;
    const { onmessage } = channel;
    channel.onmessage = (message, extra) => {
      // The protocol's machinery forgets the progress that comes together with the answer.
      if ("method" in message && message.method === "notifications/progress") this.#progressed(message.params ?? {});
      else onmessage?.(message, extra);
    };
  }

  /** Begins a session: finds out the era, unless it is known, and says hello. */
  static async open(
    channel: Channel,
    era: Era | "auto",
    prior: PriorDiscovery | undefined,
    settings: LinkSettings,
  ): Promise<Link> {
    const client = new Client(
      { name: settings.name, version: settings.version },
      {
        versionNegotiation: {
          mode: era === "modern" ? { pin: MODERN } : "auto",
          probe: { timeoutMs: settings.probeTimeout },
        },
        inputRequired: { autoFulfill: false },
      },
    );
    client.fallbackNotificationHandler = ({ method, params }) => {
      settings.notified(method, params);
      return Promise.resolve();
    };
    client.onerror = () => {};
    const known: PriorDiscovery | undefined = era === "legacy" ? { kind: "legacy" } : prior;
    await client.connect(channel, { timeout: FOREVER, ...(known && { prior: known }) });
    return new Link(client, channel);
  }

  get inFlight(): number {
    return this.#inFlight;
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

  async request({ method, params, onProgress }: McpRequest, attempt: Attempt): Promise<McpResponse> {
    const exchange: Exchange = {
      sent: () => attempt.sent(),
      moved: (bytes) => attempt.progress(bytes),
      failure: undefined,
    };
    const token = method === "tools/call" || onProgress ? `davpool-${++this.#tokens}` : undefined;
    if (token !== undefined)
      this.#listeners.set(token, (progress) => {
        // As good as any amount of bytes: the server is at work.
        attempt.progress(Number.MAX_SAFE_INTEGER);
        onProgress?.(progress);
      });
    this.#inFlight++;
    this.#channel.next = exchange;
    try {
      const answer = this.#client.request(
        { method, ...((params || token !== undefined) && { params: withToken(params, token) }) },
        ANYTHING,
        { signal: attempt.signal, timeout: FOREVER, allowInputRequired: true },
      );
      // It was taken by now, unless nothing could be sent.
      this.#channel.next = undefined;
      const result = await answer;
      this.served++;
      return { result };
    } catch (error) {
      return await this.#meaning(error, exchange);
    } finally {
      if (token !== undefined) this.#listeners.delete(token);
      if (--this.#inFlight === 0) this.#drained?.();
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
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
    await this.close();
  }

  close(): Promise<void> {
    return this.#channel.close();
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

function withToken(params: Readonly<Record<string, unknown>> = {}, token: string | undefined): Record<string, unknown> {
  if (token === undefined) return { ...params };
  return { ...params, _meta: { ...(params["_meta"] as object | undefined), progressToken: token } };
}
