import {
  INVALID_REQUEST,
  type JSONRPCMessage,
  type JSONRPCNotification,
  type JSONRPCRequest,
  type Transport,
} from "@modelcontextprotocol/client";
import { AnswerTooLargeError } from "./errors.ts";
import { DEEPEST, isMessageTooDeep } from "./message.ts";

/** What a channel tells of one request while it is under way. */
export interface Exchange {
  /** Before the first byte leaves. */
  sent(): void;
  /** Bytes of the answer arrived. */
  moved(bytes: number): void;
  /** Why no answer will come. Set before the channel makes up one, so that the request ends. */
  failure: Error | undefined;
  /** What the modern era repeats in headers beyond the usual. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The server has ended the stream before the answer, and expects to be asked for the rest. */
  parted?: (() => void) | undefined;
  /** Questions of the server that are not answered yet: until they are, a silent stream means nothing. */
  questions: number;
}

/** What a server says without having been asked. */
export type Said = JSONRPCRequest | JSONRPCNotification;

/** The protocol's messages to and from one server: over the pipes of a process, or over HTTP. */
export interface Channel extends Transport {
  readonly serverId: string;
  /** The exchange that the next message belongs to: set just before it is sent, taken by whoever sends it. */
  next: Exchange | undefined;
  /**
   * Hears what the server says without having been asked, with the exchange on whose stream it came, if it was one's.
   * Never throws. False leaves it to the protocol's machinery.
   */
  hear?: ((said: Said, about: Exchange | undefined) => boolean) | undefined;
  /** Resolves with the reason when nothing can be sent here any more. Never rejects. */
  readonly ended: Promise<Error>;
}

/**
 * Hands on a message of the server.
 * @param about the exchange that it belongs to, where that is known.
 */
export function deliver(channel: Channel, message: JSONRPCMessage, about?: Exchange): void {
  try {
    if (isMessageTooDeep(message)) {
      discard(channel, message, about, AnswerTooLargeError.tooDeep(channel.serverId, DEEPEST));
      return;
    }
    if (!("method" in message) || channel.hear?.(message, about) !== true) channel.onmessage?.(message);
  } catch (error) {
    // Whatever a server says, nothing but its own request fails for it.
    channel.onerror?.(error as Error);
  }
}

/** What is known of a message that is not read. */
interface Discarded {
  readonly id?: unknown;
  readonly method?: unknown;
}

/** Tells whoever waits for a message that it is not read: the request that it answers ends, and a question is refused. */
export function discard(channel: Channel, { id, method }: Discarded, about: Exchange | undefined, why: Error): void {
  if (typeof id !== "string" && typeof id !== "number") return;
  if (method === undefined) endRequest(channel, id, about, why);
  else {
    const error = { code: INVALID_REQUEST, message: "The request is larger than this client takes." };
    channel.send({ jsonrpc: "2.0", id, error }).catch(() => {});
  }
}

/** A code that no server uses, for answers that a channel makes up to end a request. */
const NO_ANSWER = -32_099;

/** Ends the request of this id: its exchange, if it has one, says why. */
export function endRequest(channel: Channel, id: string | number, exchange: Exchange | undefined, why: Error): void {
  if (exchange) exchange.failure ??= why;
  channel.onmessage?.({ jsonrpc: "2.0", id, error: { code: NO_ANSWER, message: why.message } });
}
