import type { Transport } from "@modelcontextprotocol/client";

/** What a channel tells of one request while it is under way. */
export interface Exchange {
  /** Before the first byte leaves. */
  sent(): void;
  /** Bytes of the answer arrived. */
  moved(bytes: number): void;
  /** Why no answer will come. Set before the channel makes up one, so that the request ends. */
  failure: Error | undefined;
}

/** The protocol's messages to and from one server: over the pipes of a process, or over HTTP. */
export interface Channel extends Transport {
  /** The exchange that the next message belongs to: set just before it is sent, taken by whoever sends it. */
  next: Exchange | undefined;
  /** Resolves with the reason when nothing can be sent here any more. Never rejects. */
  readonly ended: Promise<Error>;
}

/** A code that no server uses, for answers that a channel makes up to end a request. */
const NO_ANSWER = -32_099;

/** Ends the request of this id: its exchange, if it has one, says why. */
export function endRequest(channel: Channel, id: string | number, exchange: Exchange | undefined, why: Error): void {
  if (exchange) exchange.failure ??= why;
  channel.onmessage?.({ jsonrpc: "2.0", id, error: { code: NO_ANSWER, message: why.message } });
}
