import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "@davpool/core";

/** Milliseconds for which a client may read nothing of an answer that waits for it. */
const STALLED = 60_000;

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

/** Bytes of a request's body, as JSON. @throws BadRequest */
export async function readJson(request: IncomingMessage, limit: number): Promise<unknown> {
  const tooLarge = () =>
    new BadRequest(413, -32_000, `The request is larger than ${limit} bytes; see http.maxRequestSize.`);
  if (Number(request.headers["content-length"] ?? 0) > limit) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > limit) throw tooLarge();
    chunks.push(chunk);
  }
  const [first] = chunks;
  try {
    return JSON.parse((chunks.length === 1 && first ? first : Buffer.concat(chunks, size)).toString("utf8"));
  } catch {
    throw new BadRequest(400, -32_700, "The request is no JSON.");
  }
}

/** The request as the protocol's own code takes it: without its body, which has been read. */
export function toWebRequest({ method, url, headers }: IncomingMessage, signal: AbortSignal): Request {
  const copied = new Headers();
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined || name === "authorization" || name === "cookie") continue;
    copied.set(name, typeof value === "string" ? value : value.join(", "));
  }
  return new Request(`http://${headers.host ?? "localhost"}${url ?? "/"}`, {
    method: method ?? "GET",
    headers: copied,
    signal,
  });
}

/** Writes an answer, no faster than the client reads it; one that stops reading is cut off. */
export async function writeResponse(
  target: ServerResponse,
  { status, headers, body }: Response,
  more: Readonly<Record<string, string>>,
  clock: Clock,
): Promise<void> {
  const all: Record<string, string> = { ...more };
  headers.forEach((value, name) => (all[name] = value));
  if (!body) {
    target.writeHead(status, all).end();
    return;
  }
  const reader = body.getReader();
  const gone = () => void reader.cancel().catch(() => undefined);
  target.once("close", gone);
  try {
    if (all["content-type"]?.startsWith("text/event-stream") !== true) {
      const chunks: Uint8Array[] = [];
      for (let next = await reader.read(); !next.done; next = await reader.read()) chunks.push(next.value);
      const bytes = chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks);
      target.writeHead(status, { ...all, "content-length": String(bytes.byteLength) }).end(bytes);
      return;
    }
    target.writeHead(status, all);
    target.flushHeaders();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      if (target.destroyed) return;
      if (!target.write(next.value)) await drained(target, clock);
    }
    target.end();
  } finally {
    target.off("close", gone);
  }
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

function drained(target: ServerResponse, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const limit = clock.after(STALLED, () => target.destroy(), { background: true });
    const done = () => {
      limit[Symbol.dispose]();
      target.off("drain", done).off("close", done);
      resolve();
    };
    target.once("drain", done).once("close", done);
  });
}
