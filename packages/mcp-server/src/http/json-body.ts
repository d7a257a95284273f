import { randomUUID } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { DEEPEST } from "@davpool/transport-mcp";
import { BadRequest } from "./bad-request.ts";

/**
 * What a request may hold besides text: so many values, and not too deep. Files are one text each, whereas 64 MiB of brackets
 * would become gigabytes.
 */
const MAX_VALUES = 100_000;
/** Bytes from which on a body is not parsed in one piece, as that would keep everybody else waiting. */
const LARGE = 2 ** 20;
/** Bytes from which on a text is taken out of a large body and read piece by piece. */
const LONG_TEXT = 2 ** 10;
/** Bytes that may be left of a large body without its long texts. */
const MAX_REST = 8 * 2 ** 20;
/** Milliseconds for which the event loop may be kept by one body. */
const TURN = 8;

const [QUOTE, BACKSLASH, COMMA, LETTER_U] = [0x22, 0x5c, 0x2c, 0x75];

/** A long text: the place of its first byte and of the quote behind its last one. */
interface LongText {
  readonly start: number;
  readonly end: number;
}

/**
 * JSON that arrives in chunks. Each chunk is looked at once, as it comes, and what unfolds is refused. A large body is
 * parsed without its long texts, which are read piece by piece afterwards: nobody waits for a file of 60 MiB to be read.
 */
export class JsonBody {
  readonly #chunks: Buffer[] = [];
  readonly #long: LongText[] = [];
  #size = 0;
  #values = 0;
  #depth = 0;
  #inText = false;
  /** The next byte is escaped. */
  #escaped = false;
  #textStart = 0;

  get size(): number {
    return this.#size;
  }

  /** @throws BadRequest for what has too many values, or is too deep. Of what is no JSON it says nothing. */
  push(chunk: Buffer): void {
    this.#scan(chunk);
    this.#chunks.push(chunk);
    this.#size += chunk.byteLength;
  }

  /**
   * What the JSON says. Call it once, when all chunks are there.
   * @param place puts a long text of a large body into place, in another form than the whole where that is of use.
   * @throws BadRequest for what is no JSON.
   */
  async parse(place: PlaceText = whole): Promise<unknown> {
    if (this.#inText) throw noJson();
    if (this.#size >= LARGE) return this.#parseLarge(place);
    const [first] = this.#chunks;
    return parsed(this.#chunks.length === 1 && first ? first : Buffer.concat(this.#chunks, this.#size));
  }

  #scan(chunk: Buffer): void {
    let [inText, escaped, values, depth] = [this.#inText, this.#escaped, this.#values, this.#depth];
    // Where the next ones stand, as far as anybody has looked: most of a text is neither.
    let [quote, backslash] = [-1, -1];
    for (let at = 0; at < chunk.length; at++) {
      if (inText && !escaped) {
        if (quote < at) quote = placeOf(QUOTE, chunk, at);
        if (backslash < at) backslash = placeOf(BACKSLASH, chunk, at);
        at = Math.min(quote, backslash);
        if (at === chunk.length) break;
      }
      const byte = chunk[at] as number;
      if (inText) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) {
          inText = false;
          const end = this.#size + at;
          if (end - this.#textStart >= LONG_TEXT) this.#long.push({ start: this.#textStart, end });
        }
      } else if (byte === QUOTE) {
        inText = true;
        this.#textStart = this.#size + at + 1;
      } else if (byte === COMMA) values++;
      // "[" and "{", "]" and "}": the same but for one bit.
      else if ((byte | 0x20) === 0x7b) {
        values++;
        depth++;
      } else if ((byte | 0x20) === 0x7d) depth--;
      if (values > MAX_VALUES || depth > DEEPEST)
        throw new BadRequest(
          400,
          -32_600,
          `The request has more than ${MAX_VALUES} values, or they are more than ${DEEPEST} deep.`,
        );
    }
    [this.#inText, this.#escaped, this.#values, this.#depth] = [inText, escaped, values, depth];
  }

  async #parseLarge(place: PlaceText): Promise<unknown> {
    const turns = new Turns();
    // Nobody who writes a body knows it.
    const mark = `${randomUUID()}:`;
    const rest: Buffer[] = [];
    const texts: (readonly Buffer[])[] = [];
    const reader = new ByteReader(this.#chunks);
    let [at, size] = [0, 0];
    for (const { start, end } of this.#long) {
      rest.push(...reader.take(start - at), Buffer.from(`${mark}${texts.length}`));
      size += start - at;
      texts.push(reader.take(end - start));
      at = end;
      await turns.rest();
    }
    if (size + this.#size - at > MAX_REST)
      throw new BadRequest(
        413,
        -32_600,
        `The request has more than ${MAX_REST} bytes beside texts of ${LONG_TEXT} bytes and more. Split it.`,
      );
    rest.push(...reader.take(this.#size - at));
    const root = parsed(Buffer.concat(rest));
    if (root === `${mark}0`) return whole(await longText(texts[0] ?? [], turns));
    for (const { owner, key, index } of placesOf(root, mark)) {
      await turns.rest();
      const value = place(await longText(texts[index] ?? [], turns), { root, owner, key });
      texts[index] = [];
      // Also where it is called __proto__.
      Object.defineProperty(owner, key, { value, enumerable: true, writable: true, configurable: true });
    }
    return root;
  }
}

/** Where a long text stands. */
export interface TextPlace {
  readonly root: unknown;
  readonly owner: object;
  readonly key: string;
}

/** @param pieces of the text. @returns what is to stand there. */
export type PlaceText = (pieces: readonly string[], place: TextPlace) => string;

function whole(pieces: readonly string[]): string {
  return pieces.join("");
}

/** Where a byte stands next; behind the chunk where it does not. */
function placeOf(byte: number, chunk: Buffer, from: number): number {
  const at = chunk.indexOf(byte, from);
  return at < 0 ? chunk.length : at;
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    throw noJson();
  }
}

function noJson(): BadRequest {
  return new BadRequest(400, -32_700, "The request is no JSON.");
}

/** A long text, unescaped, in pieces. @param pieces between its quotes. */
async function longText(pieces: readonly Buffer[], turns: Turns): Promise<readonly string[]> {
  const parts: string[] = [];
  let left: Buffer = Buffer.alloc(0);
  for (const piece of pieces) {
    const bytes = left.byteLength === 0 ? piece : Buffer.concat([left, piece]);
    const end = wholeEnd(bytes);
    parts.push(unescaped(bytes.subarray(0, end)));
    left = bytes.subarray(end);
    await turns.rest();
  }
  parts.push(unescaped(left));
  return parts;
}

function unescaped(bytes: Buffer): string {
  return parsed(Buffer.concat([Buffer.from('"'), bytes, Buffer.from('"')])) as string;
}

/** Where the last whole character or escape ends. The bytes begin with a whole one. */
function wholeEnd(bytes: Buffer): number {
  const { length } = bytes;
  for (let at = Math.max(0, length - 6); at < length; at++) {
    if (bytes[at] !== BACKSLASH) continue;
    let before = 0;
    while (bytes[at - before - 1] === BACKSLASH) before++;
    // Otherwise it is the second half of an escape.
    if (before % 2 === 0 && at + (bytes[at + 1] === LETTER_U ? 6 : 2) > length) return at;
  }
  for (let back = 1; back <= Math.min(3, length); back++) {
    const byte = bytes[length - back] as number;
    if (byte < 0x80) break;
    if (byte < 0xc0) continue;
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return needed > back ? length - back : length;
  }
  return length;
}

/** Where marks of long texts stand. */
function* placesOf(value: unknown, mark: string): Generator<{ owner: object; key: string; index: number }> {
  if (typeof value !== "object" || value === null) return;
  for (const [key, item] of Object.entries(value)) {
    if (key.startsWith(mark))
      throw new BadRequest(400, -32_600, `A name in the request has ${LONG_TEXT} bytes or more.`);
    if (typeof item !== "string") yield* placesOf(item, mark);
    else if (item.startsWith(mark)) yield { owner: value, key, index: Number(item.slice(mark.length)) };
  }
}

/** Hands out bytes of chunks in turn, and lets go of those that have been read. */
class ByteReader {
  readonly #chunks: Buffer[];
  #chunk: Buffer = Buffer.alloc(0);

  /** @param chunks emptied: each is let go once its last reader is done with it. */
  constructor(chunks: Buffer[]) {
    this.#chunks = chunks.splice(0).toReversed();
  }

  /** The next so many bytes, uncopied. */
  take(count: number): readonly Buffer[] {
    const pieces: Buffer[] = [];
    for (let left = count; left > 0;) {
      if (this.#chunk.byteLength === 0) this.#chunk = this.#chunks.pop() ?? Buffer.alloc(0);
      const piece = this.#chunk.subarray(0, left);
      this.#chunk = this.#chunk.subarray(piece.byteLength);
      left -= piece.byteLength;
      pieces.push(piece);
    }
    return pieces;
  }
}

/** Lets others have the event loop as often as they need it. */
class Turns {
  #began = performance.now();

  async rest(): Promise<void> {
    if (performance.now() - this.#began < TURN) return;
    await setImmediate();
    this.#began = performance.now();
  }
}
