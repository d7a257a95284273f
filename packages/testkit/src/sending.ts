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

/** Sets status and headers, which leave with the first bytes of the body, and announces the length of the whole body unless it is to be chunked. */
export function announce(answer: Answer, response: ServerResponse, options: { readonly chunked?: boolean } = {}): void {
  const bodiless = answer.status === 204 || answer.status === 304;
  const length = bodiless || options.chunked === true ? {} : { "content-length": String(answer.body?.length ?? 0) };
  response.writeHead(answer.status, { ...length, ...answer.headers });
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
