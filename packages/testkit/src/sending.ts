import { STATUS_CODES } from "node:http";
import type { ServerResponse } from "node:http";
import type { Answer } from "./answer.ts";

/** Sends an answer in one way or another. */
export type Sender = (answer: Answer, response: ServerResponse) => Promise<void>;

/** The client has closed its connection, or a fault has; whatever was under way for it ends. */
export class ClientGone extends Error {
  override readonly name = "ClientGone";
}

export const sendWhole: Sender = async (answer, response) => {
  announce(answer, response);
  await finish(response, answer.body);
};

/**
 * How the client is told where a body ends: by its length, by chunks, or by the end of the connection alone. The
 * length is that of the whole body, whatever is sent of it.
 */
export type Framing = "length" | "chunked" | "close";

/** Sets status and headers, which leave with the first bytes of the body. */
export function announce(answer: Answer, response: ServerResponse, framing: Framing = "length"): void {
  response.useChunkedEncodingByDefault = framing !== "close";
  const length = framing === "length" ? lengthHeader(answer) : {};
  response.writeHead(answer.status, { ...length, ...answer.headers });
}

/** The answer's head as it goes over the wire, of an answer after which the connection is closed. */
export function headOf(answer: Answer, response: ServerResponse): Uint8Array {
  const headers = {
    ...response.getHeaders(),
    date: new Date().toUTCString(),
    connection: "close",
    ...lengthHeader(answer),
    ...answer.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
  const status = `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ""}\r\n`;
  return Buffer.from(`${status}${lines.join("")}\r\n`, "latin1");
}

function lengthHeader(answer: Answer): Readonly<Record<string, string>> {
  const bodiless = answer.status === 204 || answer.status === 304;
  return bodiless ? {} : { "content-length": String(answer.body?.length ?? 0) };
}

/** Sends bytes as they are, past the framing of HTTP. Resolves when they have left this process. */
export function writeRaw(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  return flushed(response, (done) => response.socket?.write(bytes, done));
}

/** Resolves when headers and bytes have left this process, so that what follows cannot overtake them. */
export function write(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  response.flushHeaders();
  if (bytes.length === 0) return flushed(response, (done) => response.socket?.write("", done));
  return flushed(response, (done) => response.write(bytes, done));
}

export function finish(response: ServerResponse, rest: Uint8Array = new Uint8Array()): Promise<void> {
  return flushed(response, (done) => response.end(rest, done));
}

function flushed(response: ServerResponse, run: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new ClientGone("the connection was closed while the answer was sent"));
    if (response.destroyed) {
      gone();
      return;
    }
    response.once("close", gone);
    run((error) => {
      response.off("close", gone);
      if (error) gone();
      else resolve();
    });
  });
}
