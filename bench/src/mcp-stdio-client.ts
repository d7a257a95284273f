import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { CLIENT, PROTOCOL } from "./mcp-client.ts";

const LINE_END = 0x0a;
/** Characters at either end of a message in which its id is looked for: reading it all would cost more than serving it. */
const ENDS = 64;

interface Waiting {
  readonly resolve: (text: string) => void;
  readonly reject: (reason: Error) => void;
}

/** Speaks MCP over standard input and output by hand: many requests at a time on one pipe. */
export class McpStdio implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #gone: Promise<unknown>;
  readonly #waiting = new Map<number, Waiting>();
  /** Of a line whose end has not come. */
  #parts: Buffer[] = [];
  #said = "";
  #id = 0;

  private constructor(command: readonly string[], folder: string | undefined) {
    const [program = "", ...parameters] = command;
    // Ctrl-C is for the process that started it, which then ends it.
    this.#child = spawn(program, parameters, { cwd: folder, detached: true, stdio: ["pipe", "pipe", "pipe"] });
    this.#gone = once(this.#child, "exit").then(() => this.#fail());
    this.#child.stdin.on("error", () => {});
    this.#child.stdout.on("data", (chunk: Buffer) => this.#take(chunk));
    this.#child.stderr
      .setEncoding("utf8")
      .on("data", (text: string) => (this.#said = (this.#said + text).slice(-10_000)));
  }

  /**
   * Starts a server and begins a session with it.
   * @param folder where it runs; default: here.
   */
  static async start(command: readonly string[], folder?: string): Promise<McpStdio> {
    const client = new McpStdio(command, folder);
    try {
      await client.ask("initialize", { protocolVersion: PROTOCOL, capabilities: {}, clientInfo: CLIENT });
      client.#write({ jsonrpc: "2.0", method: "notifications/initialized" });
      return client;
    } catch (error) {
      await client[Symbol.asyncDispose]();
      throw error;
    }
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Sends a request. @returns the message that answers it */
  ask(method: string, params: object): Promise<string> {
    const id = ++this.#id;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#write({ jsonrpc: "2.0", id, method, params });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#gone;
  }

  #write(message: object): void {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  #take(chunk: Buffer): void {
    let from = 0;
    for (let end = chunk.indexOf(LINE_END); end !== -1; end = chunk.indexOf(LINE_END, from)) {
      this.#parts.push(chunk.subarray(from, end));
      this.#heard(Buffer.concat(this.#parts).toString());
      this.#parts = [];
      from = end + 1;
    }
    if (from < chunk.byteLength) this.#parts.push(chunk.subarray(from));
  }

  #heard(line: string): void {
    const [, id] = /"id":(\d+)/.exec(line.slice(0, ENDS)) ?? /"id":(\d+)/.exec(line.slice(-ENDS)) ?? [];
    const waiting = this.#waiting.get(Number(id));
    this.#waiting.delete(Number(id));
    waiting?.resolve(line);
  }

  #fail(): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(`The server has ended. ${this.#said}`));
    this.#waiting.clear();
  }
}
