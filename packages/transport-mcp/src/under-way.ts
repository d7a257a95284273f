import type { JSONRPCMessage } from "@modelcontextprotocol/client";
import type { Exchange } from "./channel.ts";

/** Which exchange the answer to each request belongs to, where all answers come the same way. */
export class UnderWay {
  readonly #exchanges = new Map<string, Exchange>();

  /** A message is about to be sent. */
  sending(message: JSONRPCMessage, exchange: Exchange | undefined): void {
    if (!("method" in message)) return;
    if ("id" in message) {
      if (exchange) this.#exchanges.set(String(message.id), exchange);
    } else if (message.method === "notifications/cancelled") this.forget(message.params?.["requestId"]);
  }

  /** The exchange of the request that a message answers. Some servers answer numbers with texts. */
  answered({ id, method }: { readonly id?: unknown; readonly method?: unknown }): Exchange | undefined {
    if (method !== undefined) return undefined;
    const exchange = this.#exchanges.get(String(id));
    this.forget(id);
    return exchange;
  }

  forget(id: unknown): void {
    this.#exchanges.delete(String(id));
  }

  /** Bytes of some answer have arrived. */
  moved(bytes: number): void {
    for (const exchange of this.#exchanges.values()) exchange.moved(bytes);
  }
}
