import { InvalidArgumentsError } from "./tool.ts";

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A request body as bytes. @throws InvalidArgumentsError for text that is no base64. */
export function decodeBody(tool: string, body: string, encoding: "utf8" | "base64"): Uint8Array {
  if (encoding === "utf8") return Buffer.from(body, "utf8");
  const text = body.replaceAll(/\s/g, "");
  if (!BASE64.test(text) || text.length % 4 === 1)
    throw new InvalidArgumentsError(tool, [
      { path: "body", message: 'is not base64, as bodyEncoding says. Use bodyEncoding: "utf8" for plain text.' },
    ]);
  return Buffer.from(text, "base64");
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
