import type { Clock } from "@davpool/core";
import type { EventStore, JSONRPCMessage } from "@modelcontextprotocol/server";

/** Messages kept for one session, their approximate size together, and how long. */
const MOST = 256;
const MOST_BYTES = 512 * 1_024;
const TIME = 60_000;

interface Kept {
  readonly id: number;
  readonly streamId: string;
  readonly message: JSONRPCMessage;
  readonly size: number;
  readonly at: number;
}

/**
 * What one session has sent lately, so that a client whose stream broke off gets the rest when it comes back. Bounded in
 * number, size and time: a client that comes too late is told that its stream is gone.
 */
export class EventMemory implements EventStore {
  readonly #clock: Clock;
  #kept: Kept[] = [];
  #bytes = 0;
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  storeEvent(streamId: string, message: JSONRPCMessage): Promise<string> {
    const size = roughSize(message);
    const event: Kept = { id: ++this.#last, streamId, message, size, at: this.#clock.now() };
    this.#kept.push(event);
    this.#bytes += size;
    while (this.#kept.length > MOST || this.#bytes > MOST_BYTES) this.#drop();
    return Promise.resolve(idOf(event));
  }

  getStreamIdForEventId(eventId: string): Promise<string | undefined> {
    const { id, streamId } = parsed(eventId);
    // What came before the oldest that is kept may have been followed by something that is lost.
    const oldest = this.#kept[0]?.id ?? this.#last + 1;
    return Promise.resolve(id >= oldest - 1 && id <= this.#last ? streamId : undefined);
  }

  async replayEventsAfter(
    lastEventId: string,
    { send }: { send: (eventId: string, message: JSONRPCMessage) => Promise<void> },
  ): Promise<string> {
    const { id, streamId } = parsed(lastEventId);
    for (const event of this.#kept)
      // What only marked a place has nothing in it.
      if (event.id > id && event.streamId === streamId && "jsonrpc" in event.message)
        await send(idOf(event), event.message);
    return streamId;
  }

  /** Forgets what is too old. */
  sweep(): void {
    const limit = this.#clock.now() - TIME;
    while (this.#kept[0] && this.#kept[0].at <= limit) this.#drop();
  }

  #drop(): void {
    this.#bytes -= this.#kept.shift()?.size ?? 0;
  }
}

function idOf({ id, streamId }: Kept): string {
  return `${id}_${streamId}`;
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
