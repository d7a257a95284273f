import type { Clock } from "@davpool/core";
import type { EventStore, JSONRPCMessage } from "@modelcontextprotocol/server";

/** Streams and messages kept for one session, the messages' approximate size together, and how long. */
const MOST = 256;
const MOST_BYTES = 512 * 1_024;
const TIME = 60_000;
/**
 * Streams that are kept although they have been answered: most such answers have arrived, and what is kept for longer
 * than a moment costs the garbage collector more than the call itself.
 */
const MOST_ANSWERED = 8;

interface Kept {
  readonly id: number;
  readonly message: JSONRPCMessage;
  readonly size: number;
}

interface Stream {
  readonly id: string;
  readonly kept: Kept[];
  /** The last event of it that is not kept any more; what only marks a place is never kept. */
  forgotten: number;
  usedAt: number;
}

/**
 * What one session has sent lately, so that a client whose stream broke off gets the rest when it comes back. Bounded in
 * number, size and time: a client that comes too late is told that its stream is gone.
 */
export class EventMemory implements EventStore {
  readonly #clock: Clock;
  /** The one that was written to last is the last. */
  readonly #streams = new Map<string, Stream>();
  /** The one that was answered first is the first. */
  readonly #answered = new Set<Stream>();
  #messages = 0;
  #bytes = 0;
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  storeEvent(streamId: string, message: JSONRPCMessage): Promise<string> {
    const id = ++this.#last;
    const stream = this.#streams.get(streamId) ?? { id: streamId, kept: [], forgotten: id, usedAt: 0 };
    stream.usedAt = this.#clock.now();
    this.#streams.delete(streamId);
    this.#streams.set(streamId, stream);
    for (const oldest of this.#streams.values()) {
      if (this.#streams.size <= MOST) break;
      this.#forget(oldest);
    }
    // The first event of a stream only marks a place, for clients that know such.
    if ("jsonrpc" in message) this.#keep(stream, id, message);
    return Promise.resolve(`${id}_${streamId}`);
  }

  getStreamIdForEventId(eventId: string): Promise<string | undefined> {
    const { id, streamId } = parsed(eventId);
    const stream = this.#streams.get(streamId);
    // What was forgotten after it would be missed.
    return Promise.resolve(stream && id >= stream.forgotten && id <= this.#last ? streamId : undefined);
  }

  async replayEventsAfter(
    lastEventId: string,
    { send }: { send: (eventId: string, message: JSONRPCMessage) => Promise<void> },
  ): Promise<string> {
    const { id: last, streamId } = parsed(lastEventId);
    for (const { id, message } of this.#streams.get(streamId)?.kept ?? [])
      if (id > last) await send(`${id}_${streamId}`, message);
    return streamId;
  }

  /** Forgets what is too old. */
  sweep(): void {
    const limit = this.#clock.now() - TIME;
    for (const stream of this.#streams.values()) {
      if (stream.usedAt > limit) return;
      if (this.#answered.has(stream)) this.#forget(stream);
      // It may still be written to, and whoever has had all of it so far can come back for that.
      else while (stream.kept.length > 0) this.#drop(stream);
    }
  }

  #keep(stream: Stream, id: number, message: JSONRPCMessage): void {
    const size = roughSize(message);
    // Without a place before it: nobody can ask for what comes after.
    if (stream.forgotten === id) stream.forgotten = id - 1;
    stream.kept.push({ id, message, size });
    this.#messages++;
    this.#bytes += size;
    if (!("method" in message)) this.#answered.add(stream);
    for (const oldest of this.#answered) {
      if (this.#answered.size <= MOST_ANSWERED && this.#fits()) break;
      this.#forget(oldest);
    }
    for (const oldest of this.#streams.values()) {
      while (oldest.kept.length > 0 && !this.#fits()) this.#drop(oldest);
      if (this.#fits()) break;
    }
  }

  #fits(): boolean {
    return this.#messages <= MOST && this.#bytes <= MOST_BYTES;
  }

  #forget(stream: Stream): void {
    while (stream.kept.length > 0) this.#drop(stream);
    this.#answered.delete(stream);
    this.#streams.delete(stream.id);
  }

  #drop(stream: Stream): void {
    const dropped = stream.kept.shift();
    if (!dropped) return;
    stream.forgotten = dropped.id;
    this.#messages--;
    this.#bytes -= dropped.size;
  }
}

/** As clients write it, so anything at all. */
function parsed(eventId: string): { readonly id: number; readonly streamId: string } {
  const [, id = "", streamId = ""] = /^(\d{1,15})_(.+)$/s.exec(eventId) ?? [];
  return { id: id === "" ? -1 : Number(id), streamId };
}

/** Large messages are large because of a text in them; nothing is written out to find its length. */
function roughSize(message: JSONRPCMessage): number {
  const { result } = message as { result?: { content?: readonly { readonly text?: unknown }[] } };
  let size = 200;
  for (const { text } of Array.isArray(result?.content) ? result.content : [])
    if (typeof text === "string") size += text.length * 2;
  return size;
}
