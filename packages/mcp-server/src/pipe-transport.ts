import type { Readable, Writable } from "node:stream";
import { DEEPEST, Lines, isMessage, isTooDeep, type Outline } from "@davpool/transport-mcp";
import type { JSONRPCMessage, Transport } from "@modelcontextprotocol/server";
import { INVALID_REQUEST, SAME_ID } from "./rpc-errors.ts";

/**
 * The server's end of two pipes: a message a line. What one turn of the event loop has to say goes out in one piece. When
 * the client ends its side, what it has asked is answered all the same.
 */
export class PipeTransport implements Transport {
  onmessage?: Transport["onmessage"];
  onerror?: Transport["onerror"];
  onclose?: Transport["onclose"];
  /** Sees each message first, and returns true for one that nobody else need see. */
  first: ((message: JSONRPCMessage) => boolean) | undefined;
  readonly #input: Readable;
  readonly #output: Writable;
  /** Requests of the client that are not answered yet. */
  readonly #asked = new Set<unknown>();
  readonly #longest: number;
  readonly #lines: Lines;
  #outgoing = "";
  #written = Promise.withResolvers<void>();
  /** The client has to read first. */
  #blocked = false;
  #closed = false;

  /** @param longest bytes of one message. */
  constructor(input: Readable, output: Writable, longest: number) {
    this.#input = input;
    this.#output = output;
    this.#longest = longest;
    this.#lines = new Lines(longest);
  }

  start(): Promise<void> {
    this.#input.on("data", this.#read);
    this.#input.on("error", this.#failed);
    this.#output.on("error", this.#failed);
    return Promise.resolve();
  }

  async send(message: JSONRPCMessage): Promise<void> {
    const line = JSON.stringify(message);
    await ("method" in message ? this.#write(line) : this.answer(message.id, line));
  }

  /** @param line the answer to the request of this id, as JSON. */
  answer(id: unknown, line: string): Promise<void> {
    this.#asked.delete(id);
    return this.#write(line);
  }

  #write(line: string): Promise<void> {
    if (this.#closed) return Promise.reject(new Error("The client has gone."));
    if (this.#outgoing === "") {
      this.#written = Promise.withResolvers();
      if (!this.#blocked) process.nextTick(this.#flush);
    }
    this.#outgoing += `${line}\n`;
    return this.#written.promise;
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    this.#input.off("data", this.#read);
    this.#input.pause();
    this.onclose?.();
    return Promise.resolve();
  }

  readonly #read = (chunk: Buffer): void => {
    for (const line of this.#lines.push(chunk)) {
      if (typeof line === "string") this.#take(line);
      else this.#refuse(line, `it has more than ${this.#longest} bytes`);
    }
  };

  /** Tells the client that a message is not read. */
  #refuse({ id, method }: Pick<Outline, "id" | "method">, problem: string): void {
    this.onerror?.(new Error(`A message of the client was discarded: ${problem}.`));
    if (id === undefined || method === undefined) return;
    const error = { code: INVALID_REQUEST, message: `The request was not carried out: ${problem}.` };
    this.#write(JSON.stringify({ jsonrpc: "2.0", id, error })).catch(() => {});
  }

  /**
   * Whether a request may have the id that it has. The refusal names none, or it would look like the answer to the request
   * that has it already.
   */
  #hasOwnId(message: JSONRPCMessage): boolean {
    if (!("method" in message)) return true;
    if (!("id" in message)) {
      if (message.method === "notifications/cancelled") this.#asked.delete(message.params?.["requestId"]);
      return true;
    }
    if (!this.#asked.has(message.id)) {
      this.#asked.add(message.id);
      return true;
    }
    const error = { code: INVALID_REQUEST, message: `${SAME_ID} It was refused: id ${JSON.stringify(message.id)}.` };
    this.#write(JSON.stringify({ jsonrpc: "2.0", id: null, error })).catch(() => {});
    return false;
  }

  #take(line: string): void {
    if (line.trim() === "") return;
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      // What is no JSON is left out, as anything else than a message is.
    }
    if (!isMessage(message)) {
      this.onerror?.(new Error("The client sent what is no message."));
      return;
    }
    if (isTooDeep(message)) {
      this.#refuse(
        message as Pick<Outline, "id" | "method">,
        `its objects and lists are more than ${DEEPEST} levels deep`,
      );
      return;
    }
    if (!this.#hasOwnId(message)) return;
    try {
      if (this.first?.(message) !== true) this.onmessage?.(message);
    } catch (error) {
      this.onerror?.(error as Error);
    }
  }

  readonly #flush = (): void => {
    const text = this.#outgoing;
    const { resolve } = this.#written;
    this.#outgoing = "";
    if (text === "" || this.#output.write(text)) {
      resolve();
      return;
    }
    this.#blocked = true;
    this.#output.once("drain", () => {
      this.#blocked = false;
      resolve();
      this.#flush();
    });
  };

  readonly #failed = (error: Error): void => {
    if (this.#closed) return;
    this.onerror?.(error);
    void this.close();
  };
}
