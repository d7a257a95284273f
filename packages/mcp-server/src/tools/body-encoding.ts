import { setImmediate } from "node:timers/promises";
import type { MaybePromise } from "@davpool/core";
import { piecesOf } from "../held-texts.ts";
import { InvalidArgumentsError } from "./tool.ts";

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const UNPADDED = /^[A-Za-z0-9+/]*$/;
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Characters that are decoded at once, and bytes that are copied: others have a turn between two pieces of a large body. */
const PIECE = 2 ** 18;

/** A request body as bytes; of a large one, later. @throws InvalidArgumentsError for text that is no base64. */
export function decodeBody(tool: string, body: string, encoding: "utf8" | "base64"): MaybePromise<Uint8Array> {
  const decoder = encoding === "utf8" ? new TextPieces() : new Base64Pieces(tool);
  const pieces = piecesOf(body);
  if (pieces) return decodeLarge(pieces, decoder);
  return body.length <= PIECE
    ? Buffer.concat([decoder.piece(body), decoder.rest()])
    : decodeLarge(slices(body), decoder);
}

function* slices(text: string): Generator<string> {
  for (let at = 0; at < text.length; at += PIECE) yield text.slice(at, at + PIECE);
}

async function decodeLarge(texts: Iterable<string>, decoder: TextPieces | Base64Pieces): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  const keep = (piece: Uint8Array) => {
    pieces.push(piece);
    size += piece.byteLength;
  };
  for (const text of texts) {
    keep(decoder.piece(text));
    await setImmediate();
  }
  keep(decoder.rest());
  // The system finds memory for it as it is written to, which takes longer than copying.
  const whole = Buffer.allocUnsafeSlow(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
    await setImmediate();
  }
  return whole;
}

/** Text in pieces that may end in the middle of a character. */
class TextPieces {
  #left = "";

  piece(text: string): Uint8Array {
    const whole = this.#left + text;
    const cut = /[\ud800-\udbff]$/.test(whole.slice(-1)) ? whole.length - 1 : whole.length;
    this.#left = whole.slice(cut);
    return Buffer.from(whole.slice(0, cut), "utf8");
  }

  rest(): Uint8Array {
    return Buffer.from(this.#left, "utf8");
  }
}

/** Base64 in pieces that may end anywhere. */
class Base64Pieces {
  readonly #tool: string;
  #left = "";

  constructor(tool: string) {
    this.#tool = tool;
  }

  piece(text: string): Uint8Array {
    const dense = this.#left + text.replaceAll(/\s/g, "");
    // What is left may be the end, and only there is padding.
    const cut = Math.max(0, dense.length - 4 - (dense.length % 4));
    this.#left = dense.slice(cut);
    return this.#decoded(dense.slice(0, cut), UNPADDED);
  }

  rest(): Uint8Array {
    return this.#decoded(this.#left, BASE64);
  }

  #decoded(text: string, form: RegExp): Uint8Array {
    if (!form.test(text) || text.length % 4 === 1)
      throw new InvalidArgumentsError(this.#tool, [
        { path: "body", message: 'is not base64, as bodyEncoding says. Use bodyEncoding: "utf8" for plain text.' },
      ]);
    return Buffer.from(text, "base64");
  }
}

export interface EncodedBody {
  readonly body: string;
  readonly bodyEncoding: "utf8" | "base64";
  /** Bytes that `body` stands for: less than there were where a cut went through a character. */
  readonly shown: number;
}

/** A response body as text where it is text, as base64 where it is not. */
export function encodeBody(bytes: Uint8Array, cut: boolean): EncodedBody {
  try {
    const whole = cut ? wholeCharacters(bytes) : bytes;
    const body = strict.decode(whole);
    if (!body.includes("\0")) return { body, bodyEncoding: "utf8", shown: whole.byteLength };
  } catch {
    // Not text: it goes out as base64.
  }
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
  return { body, bodyEncoding: "base64", shown: bytes.byteLength };
}

/** Without the character that the cut went through. */
function wholeCharacters(bytes: Uint8Array): Uint8Array {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] as number;
    if (byte < 0x80) return bytes;
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return length > back ? bytes.subarray(0, bytes.length - back) : bytes;
    }
  }
  return bytes;
}
