import type { IncomingMessage, ServerResponse } from "node:http";
import { DEEPEST } from "@davpool/transport-mcp";

/** A request that cannot be answered as it is, and what to say. */
export class BadRequest extends Error {
  readonly status: number;
  /** JSON-RPC. */
  readonly code: number;

  constructor(status: number, code: number, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * What a request may hold besides text: so many values, so deep. Files are one text each, whereas 64 MiB of brackets
 * would become gigabytes.
 */
const MOST_VALUES = 100_000;

/** Bytes of a request's body, as JSON. @throws BadRequest */
export async function readJson(request: IncomingMessage, limit: number): Promise<unknown> {
  const tooLarge = () =>
    new BadRequest(413, -32_000, `The request is larger than ${limit} bytes; see http.maxRequestSize.`);
  if (Number(request.headers["content-length"] ?? 0) > limit) throw tooLarge();
  const bytes = await readBytes(request, limit, tooLarge);
  if (!isModest(bytes))
    throw new BadRequest(
      400,
      -32_600,
      `The request has more than ${MOST_VALUES} values, or they are more than ${DEEPEST} deep.`,
    );
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new BadRequest(400, -32_700, "The request is no JSON.");
  }
}

/** By events, which cost half of what iterating does. */
function readBytes(request: IncomingMessage, limit: number, tooLarge: () => BadRequest): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.byteLength;
      if (size <= limit) chunks.push(chunk);
      else {
        request.pause();
        reject(tooLarge());
      }
    });
    request.once("end", () => {
      const [first] = chunks;
      resolve(chunks.length === 1 && first ? first : Buffer.concat(chunks, size));
    });
    request.once("error", reject);
    request.once("close", () => reject(new Error("The client went away before its request had arrived.")));
  });
}

/** Looked at before anything is made of it. Of what is no JSON it says nothing in particular. */
function isModest(bytes: Buffer): boolean {
  const [quote, backslash, comma] = [0x22, 0x5c, 0x2c];
  let [values, depth, inText] = [0, 0, false];
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (inText) {
      if (byte === backslash) at++;
      else if (byte === quote) inText = false;
    } else if (byte === quote) inText = true;
    else if (byte === comma) values++;
    // "[" and "{", "]" and "}": the same but for one bit.
    else if ((byte | 0x20) === 0x7b) {
      values++;
      depth++;
    } else if ((byte | 0x20) === 0x7d) depth--;
    if (values > MOST_VALUES || depth > DEEPEST) return false;
  }
  return true;
}

/** A JSON answer of this server's own. */
export function writeJson(
  target: ServerResponse,
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (target.headersSent || target.destroyed) return;
  const text = JSON.stringify(value);
  target.writeHead(status, {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(text)),
    "cache-control": "no-store",
    ...headers,
  });
  target.end(text);
}

/** An error in the protocol's own form. */
export function rpcError(code: number, message: string, id: unknown = null): object {
  return { jsonrpc: "2.0", error: { code, message }, id };
}
