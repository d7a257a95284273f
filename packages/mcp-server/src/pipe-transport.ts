import type { Readable, Writable } from "node:stream";
import { Lines, isMessage } from "@davpool/transport-mcp";
import type { JSONRPCMessage, Transport } from "@modelcontextprotocol/server";

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
    this.#lines = new Lines(longest);
  }

  start(): Promise<void> {
    this.#input.on("data", this.#read);
    this.#input.on("error", this.#failed);
    this.#output.on("error", this.#failed);
    return Promise.resolve();
  }

  async send(message: JSONRPCMessage): Promise<void> {
    await this.write(JSON.stringify(message));
  }

  /** @param line a message as JSON. */
  write(line: string): Promise<void> {
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
    const lines = this.#lines.push(chunk);
    if (!lines) {
      this.onerror?.(new Error("The client sent a message that is too long."));
      void this.close();
      return;
    }
    for (const line of lines) this.#take(line);
  };

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
