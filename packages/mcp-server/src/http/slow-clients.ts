import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "@davpool/core";

/** Milliseconds between two looks. */
const INTERVAL = 15_000;
/** Looks in a row that find a client too slow before it is cut off: a minute. */
const PATIENCE = 4;
/** Bytes that a client takes in this time at least, while more wait for it: 1 KiB each second. */
const MIN_BYTES = INTERVAL;

/** What the last look found of an answer that waits for its client. */
interface Waiting {
  /** Bytes that the system had taken. */
  readonly delivered: number;
  /** Looks in a row that found it too slow. */
  readonly slow: number;
}

/**
 * Cuts off clients that take their answers too slowly, or not at all: what they do not take is kept for them in memory. One
 * timer for all.
 */
export class SlowClients implements Disposable {
  readonly #clock: Clock;
  readonly #open = new Set<ServerResponse>();
  readonly #waiting = new WeakMap<ServerResponse, Waiting>();
  #timer: Disposable | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  watch(response: ServerResponse): void {
    this.#open.add(response);
    response.once("close", () => this.#open.delete(response));
    this.#arm();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #look(): void {
    for (const response of this.#open) {
      const { socket } = response;
      if (!socket || (response.writableLength === 0 && socket.writableLength === 0)) {
        this.#waiting.delete(response);
        continue;
      }
      const delivered = deliveredBy(socket);
      const before = this.#waiting.get(response);
      const tooSlow = before !== undefined && delivered - before.delivered < MIN_BYTES;
      const slow = tooSlow ? before.slow + 1 : 0;
      if (slow >= PATIENCE) response.destroy();
      else this.#waiting.set(response, { delivered, slow });
    }
  }

  #arm(): void {
    this.#timer ??= this.#clock.after(
      INTERVAL,
      () => {
        this.#timer = undefined;
        this.#look();
        if (this.#open.size > 0) this.#arm();
      },
      { background: true },
    );
  }
}

/** What Node.js keeps of a socket without documenting it. Its own time-outs of sockets look at the same. */
interface Internals {
  /** Bytes that have been handed to libuv. */
  readonly _bytesDispatched?: number;
  /** Its `writeQueueSize`: those of them that the system has not taken yet. */
  readonly _handle?: { readonly writeQueueSize?: number } | null;
}

/** Bytes that the system has taken. What is public counts a piece as written when all of it is, however large it is. */
function deliveredBy(socket: Socket): number {
  const { _bytesDispatched: dispatched, _handle: handle } = socket as Internals;
  if (dispatched === undefined) return socket.bytesWritten - socket.writableLength;
  return dispatched - (handle?.writeQueueSize ?? 0);
}
