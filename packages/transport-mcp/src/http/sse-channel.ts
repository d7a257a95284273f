import type { JSONRPCMessage } from "@modelcontextprotocol/client";
import { deliver, discard, type Channel, type Exchange } from "../channel.ts";
import { AnswerTooLargeError, ConnectionBrokenError, ConnectionClosedError, NotConnectedError } from "../errors.ts";
import { isMessage } from "../message.ts";
import { ask, broken, refusalOf, type Endpoint } from "./http-client.ts";
import { eventsOf } from "./event-stream.ts";
import { UnderWay } from "../under-way.ts";

/** The HTTP+SSE of 2024: one stream with everything the server says; what it is told is posted to an address it names. */
export class SseChannel implements Channel {
  onmessage?: Channel["onmessage"];
  onerror?: Channel["onerror"];
  onclose?: Channel["onclose"];
  hear?: Channel["hear"];
  next: Exchange | undefined;
  readonly ended: Promise<Error>;
  readonly #endpoint: Endpoint;
  readonly #end: (why: Error) => void;
  readonly #closing = new AbortController();
  /** Where messages are posted. */
  #to: string | undefined;
  #version: string | undefined;
  #over = false;
  /** The stream carries the answers of all requests: its bytes are the progress of each of them. */
  readonly #waiting = new UnderWay();

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.ended = promise;
    this.#end = resolve;
  }

  get serverId(): string {
    return this.#endpoint.serverId;
  }

  async start(): Promise<void> {
    const { url } = this.#endpoint;
    const answer = await ask(this.#endpoint, "GET", url, {
      headers: { accept: "text/event-stream" },
      signal: this.#closing.signal,
    });
    if (answer.status !== 200) throw (await refusalOf(answer)).error;
    const { promise: named, resolve, reject } = Promise.withResolvers<void>();
    void this.#read(answer.body as AsyncIterable<Buffer>, resolve, reject);
    await named;
  }

  setProtocolVersion(version: string): void {
    this.#version = version;
  }

  async send(message: JSONRPCMessage): Promise<void> {
    const exchange = this.next;
    this.next = undefined;
    if (this.#to === undefined || this.#over) throw new ConnectionBrokenError("its stream has ended");
    this.#waiting.sending(message, exchange);
    try {
      const answer = await ask(this.#endpoint, "POST", this.#to, {
        headers: {
          "content-type": "application/json",
          ...(this.#version !== undefined && { "mcp-protocol-version": this.#version }),
        },
        body: JSON.stringify(message),
        signal: this.#closing.signal,
        exchange,
      });
      if (answer.status < 200 || answer.status >= 300) throw (await refusalOf(answer)).error;
      await answer.body.dump();
    } catch (error) {
      if ("method" in message && "id" in message) this.#waiting.forget(message.id);
      throw error;
    }
  }

  close(): Promise<void> {
    this.#closing.abort(new ConnectionClosedError());
    this.#finish(new ConnectionClosedError());
    return Promise.resolve();
  }

  async #read(body: AsyncIterable<Buffer>, named: () => void, failed: (error: Error) => void): Promise<void> {
    const { url, serverId, longestMessage } = this.#endpoint;
    let why: Error = new ConnectionBrokenError("its stream ended");
    try {
      const moved = (bytes: number) => this.#waiting.moved(bytes);
      for await (const { type, data, outline } of eventsOf(body, serverId, longestMessage, moved)) {
        if (outline)
          discard(
            this,
            outline,
            this.#waiting.answered(outline),
            AnswerTooLargeError.tooLong(serverId, longestMessage),
          );
        else if (type === "endpoint") {
          this.#to = this.#placeOf(data);
          named();
        } else if (type === "message") this.#take(data);
      }
    } catch (error) {
      why = broken(url, error);
    }
    failed(why);
    this.#finish(why);
  }

  #placeOf(data: string): string {
    const { url } = this.#endpoint;
    const place = URL.parse(data, url);
    // Credentials go to the server that was named, and nowhere else.
    if (place?.origin !== new URL(url).origin)
      throw new NotConnectedError("it wants messages to be posted to another server, which is refused");
    return place.href;
  }

  #take(data: string): void {
    let message: unknown;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (!isMessage(message)) return;
    deliver(this, message, this.#waiting.answered(message));
  }

  #finish(why: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#closing.abort(why);
    this.#end(why);
    this.onclose?.();
  }
}
