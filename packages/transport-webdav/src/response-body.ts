import type { Attempt, Failure } from "@davpool/core";
import type { Dispatcher } from "undici";

/** Bytes that may wait for a reader before the socket is paused. */
const HIGH_WATER = 256 * 1024;
/** An unwanted rest no longer than this is read away to keep the socket; a longer one costs the socket. */
const WORTH_READING = 64 * 1024;

/** Bytes that a reader gets to work on at a time. */
const PIECE = 16 * 1024;
/** Milliseconds of work before other work has its turn. */
const TURN = 10;

/** The request whose answer flows; while the rest of a body that broke off is asked for, what can give that up. */
type Source = Pick<Dispatcher.DispatchController, "abort"> & Partial<Dispatcher.DispatchController>;

export interface BodyRead {
  readonly bytes: Uint8Array;
  /** True when there was more than the limit. */
  readonly truncated: boolean;
  /** Why it broke off, for an answer that counts also when it did. */
  readonly brokenOff?: Error;
}

/**
 * A response's body as it arrives. It keeps the attempt's slot until it has ended, so it must be read or discarded:
 * with {@link ResponseBody.read}, by iterating once, or with {@link ResponseBody.discard}.
 *
 * A body that breaks off, or has less than its announced length, rejects; it never ends early in silence. The answer to
 * a request that changes something counts all the same: {@link ResponseBody.read} gives what came of it, and says so.
 */
export class ResponseBody implements AsyncIterable<Uint8Array> {
  #source: Source;
  readonly #attempt: Attempt;
  readonly #release: (failure?: Failure) => void;
  readonly #length: number | undefined;
  readonly #counts: boolean;
  #chunks: Uint8Array[] = [];
  #waiting = 0;
  #received = 0;
  #ended = false;
  #error: Error | undefined;
  #discarded = false;
  /** Bytes that came after the rest was discarded. */
  #unwanted = 0;
  #wake: (() => void) | undefined;

  /**
   * @param length bytes announced, if any.
   * @param counts the request changes something, so its answer counts, whole or not.
   */
  constructor(
    controller: Dispatcher.DispatchController,
    attempt: Attempt,
    length: number | undefined,
    counts: boolean,
  ) {
    this.#counts = counts;
    this.#source = controller;
    this.#attempt = attempt;
    this.#length = length;
    this.#release = attempt.hold();
  }

  /** Bytes the server announced. */
  get length(): number | undefined {
    return this.#length;
  }

  /** Bytes that have arrived. */
  get received(): number {
    return this.#received;
  }

  /** Those of them that the reader has got. */
  get delivered(): number {
    return this.#received - this.#waiting;
  }

  get discarded(): boolean {
    return this.#discarded;
  }

  /**
   * Reads the body, up to `limit` bytes, and lets go of the rest.
   * @param seen gets everything up to the limit as it arrives, in pieces between which other work has its turn.
   * @param whole gets every chunk, also beyond the limit: with it the body is read to its end.
   */
  async read(
    limit = Infinity,
    seen?: (chunk: Uint8Array) => void,
    whole?: (chunk: Uint8Array) => void,
  ): Promise<BodyRead> {
    const kept: Uint8Array[] = [];
    let size = 0;
    let truncated = false;
    const turns = new Turns();
    try {
      for await (const chunk of this) {
        whole?.(chunk);
        const room = limit - size;
        const part = chunk.byteLength > room ? chunk.subarray(0, room) : chunk;
        if (part.byteLength > 0) {
          kept.push(part);
          size += part.byteLength;
          if (seen)
            for (let start = 0; start < part.byteLength; start += PIECE) {
              seen(part.subarray(start, start + PIECE));
              if (turns.isLong) await turns.next();
            }
        }
        if (part === chunk) continue;
        truncated = true;
        if (!whole) break;
      }
    } catch (error) {
      if (!this.#counts || error !== this.#error) throw error;
    }
    const [first] = kept;
    const bytes = kept.length === 1 && first ? first : Buffer.concat(kept, size);
    return { bytes, truncated, ...(this.#error && this.#counts && { brokenOff: this.#error }) };
  }

  /** The whole body; rejects also where {@link ResponseBody.read} would give a part. */
  async text(): Promise<string> {
    const { bytes, brokenOff } = await this.read();
    if (brokenOff) throw brokenOff;
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    if (this.#discarded) return;
    try {
      for (;;) {
        const chunks = this.#chunks;
        this.#chunks = [];
        this.#waiting = 0;
        if (this.#source.paused) this.#source.resume?.();
        yield* chunks;
        if (this.#chunks.length > 0) continue;
        if (this.#error) throw this.#error;
        if (this.#ended) return;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.discard();
    }
  }

  /**
   * The first `size` bytes, or all where there are fewer, once they have come or the body has broken off. They stay to be
   * read. Only for a body that nobody reads yet; `size` is at most 64 KiB.
   */
  async peek(size: number): Promise<Uint8Array> {
    while (this.#waiting < size && !this.#ended && !this.#error && !this.#discarded)
      await new Promise<void>((resolve) => (this.#wake = resolve));
    return Buffer.concat(this.#chunks, Math.min(this.#waiting, size));
  }

  /** Lets go of what has not been read; reading afterwards gives nothing. Harmless when there is nothing left. */
  discard(): void {
    this.#discarded = true;
    this.#chunks = [];
    if (this.#ended || this.#error) return;
    const rest = this.#length === undefined ? 0 : this.#length - this.#received;
    if (this.#source.resume && rest <= WORTH_READING) this.#source.resume();
    else this.#cut();
  }

  /** Called by the exchange, as are the following. */
  push(chunk: Uint8Array): void {
    if (this.#discarded) {
      // No progress is reported: a rest that trickles must not keep the attempt's slot.
      this.#unwanted += chunk.byteLength;
      if (this.#unwanted > WORTH_READING) this.#cut();
      return;
    }
    this.#received += chunk.byteLength;
    this.#attempt.progress(chunk.byteLength);
    this.#chunks.push(chunk);
    this.#waiting += chunk.byteLength;
    if (this.#waiting > HIGH_WATER) this.#source.pause?.();
    this.#wakeReader();
  }

  /**
   * It broke off, and the rest is asked for.
   * @param anew from the start, so what waits for the reader is dropped.
   */
  brokeOff(source: Source, anew: boolean): void {
    this.#source = source;
    if (!anew) return;
    this.#chunks = [];
    this.#waiting = 0;
    this.#received = 0;
  }

  /** The rest begins to flow. */
  resumed(source: Source): void {
    this.#source = source;
    if (this.#waiting > HIGH_WATER) source.pause?.();
  }

  end(): void {
    this.#ended = true;
    this.#release();
    this.#wakeReader();
  }

  fail(error: Error, failure: Failure): void {
    this.#error = error;
    this.#release(this.#discarded ? undefined : failure);
    this.#wakeReader();
  }

  /** Gives up the socket with what is still to come. */
  #cut(): void {
    this.#release();
    this.#source.abort(new Error("the rest of the body was not wanted"));
  }

  #wakeReader(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

/** Long work in turns: what has arrived already would otherwise be dealt with in one go. */
class Turns {
  #began = performance.now();

  get isLong(): boolean {
    return performance.now() - this.#began > TURN;
  }

  async next(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#began = performance.now();
  }
}
