import { ProtocolError, type JSONRPCMessage } from "@modelcontextprotocol/client";
import type { Channel, Exchange } from "./channel.ts";

type Fields = Readonly<Record<string, unknown>>;

interface Waiting {
  readonly resolve: (result: Fields) => void;
  readonly reject: (reason: unknown) => void;
}

/** Ids of these requests are above this; the protocol's machinery counts from 0. */
const FIRST = 1_000_000_000;

/**
 * Requests in the older era, and the answers to them. The protocol's machinery would look at every result whether it is as
 * it should be, which is between the server and whoever asked, and costs as much as sending it.
 */
export class Answers {
  readonly #channel: Channel;
  readonly #waiting = new Map<number, Waiting>();
  #ids = FIRST;
  #ended: Error | undefined;

  constructor(channel: Channel) {
    this.#channel = channel;
    void channel.ended.then((why) => {
      this.#ended = why;
      for (const { reject } of this.#waiting.values()) reject(why);
      this.#waiting.clear();
    });
  }

  /**
   * Sends a request. When the signal aborts, the server is told.
   * @throws ProtocolError with what the server answers, the signal's reason, or why nothing could be sent.
   */
  async ask(
    method: string,
    params: Fields | undefined,
    signal: AbortSignal,
    exchange: Exchange | undefined,
  ): Promise<Fields> {
    signal.throwIfAborted();
    if (this.#ended) throw this.#ended;
    const id = ++this.#ids;
    const { promise, resolve, reject } = Promise.withResolvers<Fields>();
    const abort = () => {
      reject(signal.reason);
      const told = { requestId: id, reason: "The request was cancelled." };
      this.#channel.send({ jsonrpc: "2.0", method: "notifications/cancelled", params: told }).catch(() => {});
    };
    signal.addEventListener("abort", abort, { once: true });
    this.#waiting.set(id, { resolve, reject });
    try {
      this.#channel.next = exchange;
      this.#channel.send({ jsonrpc: "2.0", id, method, ...(params && { params }) }).catch(reject);
      // It was taken by now, unless nothing could be sent.
      this.#channel.next = undefined;
      return await promise;
    } finally {
      this.#waiting.delete(id);
      signal.removeEventListener("abort", abort);
    }
  }

  /** @returns false for a message that is no answer to any of these requests. */
  take(message: JSONRPCMessage): boolean {
    if (!("id" in message) || "method" in message) return false;
    // Some servers answer numbers with texts.
    const id = Number(message.id);
    if (!(id > FIRST)) return false;
    const waiting = this.#waiting.get(id);
    // What was cancelled may be answered all the same.
    if (!waiting) return true;
    if ("result" in message) waiting.resolve(message.result);
    else waiting.reject(ProtocolError.fromError(message.error.code, message.error.message, message.error.data));
    return true;
  }
}
