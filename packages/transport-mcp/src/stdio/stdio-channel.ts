import type { Clock, Log } from "@davpool/core";
import type { JSONRPCMessage } from "@modelcontextprotocol/client";
import { deliver, discard, type Channel, type Exchange } from "../channel.ts";
import { AnswerTooLargeError, ConnectionBrokenError, ConnectionClosedError } from "../errors.ts";
import { isMessage } from "../message.ts";
import { ErrorOutput } from "./error-output.ts";
import { Lines } from "./lines.ts";
import type { Outline } from "./outline.ts";
import { UnderWay } from "../under-way.ts";
import { ServerProcess, type Command, type Exit } from "./server-process.ts";

export interface StdioSettings {
  readonly serverId: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes of one line. */
  readonly longestMessage: number;
  /** Milliseconds. */
  readonly grace: number;
  readonly secrets: readonly string[];
}

/** MCP over the standard input and output of a process, a message a line. */
export class StdioChannel implements Channel {
  onmessage?: Channel["onmessage"];
  onerror?: Channel["onerror"];
  onclose?: Channel["onclose"];
  hear?: Channel["hear"];
  next: Exchange | undefined;
  readonly ended: Promise<Error>;
  /** The probe for the protocol's newer era was sent, and no answer came. */
  puzzled = false;
  readonly #command: Command;
  readonly #settings: StdioSettings;
  readonly #underWay = new UnderWay();
  readonly #end: (why: Error) => void;
  #process: ServerProcess | undefined;
  #errorOutput: ErrorOutput | undefined;
  #why: Error | undefined;
  #noise = 0;
  /** Messages that are about to be written. */
  #outgoing = "";
  #spoke = false;

  constructor(command: Command, settings: StdioSettings) {
    this.#command = command;
    this.#settings = settings;
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.ended = promise;
    this.#end = resolve;
  }

  get serverId(): string {
    return this.#settings.serverId;
  }

  /** Both together tell the protocol's machinery that this is a process. */
  get pid(): number | null {
    return this.#process?.pid ?? null;
  }
  get stderr(): null {
    return null;
  }

  async start(): Promise<void> {
    if (this.#why) throw this.#why;
    const { clock, log, serverId, secrets, longestMessage } = this.#settings;
    const child = new ServerProcess(this.#command, clock);
    this.#process = child;
    this.#errorOutput = new ErrorOutput(child.stderr, log, serverId, secrets);
    const lines = new Lines(longestMessage);
    child.stdout.on("data", (chunk: Buffer) => {
      for (const line of lines.push(chunk))
        if (typeof line === "string") this.#take(line);
        else this.#tooLong(line);
    });
    child.stdout.on("error", () => {});
    void child.gone.then((exit) => this.#gone(exit));
    try {
      await child.started;
    } catch (error) {
      this.#finish(error as Error);
      throw error;
    }
    log.debug("The process of a server was started.", { serverId, pid: child.pid });
  }

  async send(message: JSONRPCMessage): Promise<void> {
    const exchange = this.next;
    this.next = undefined;
    if (this.#why) throw this.#why;
    if (!this.#process?.stdin.writable) {
      // It is about to be gone. Whoever tries again is to find a new one.
      this.#process?.kill();
      await this.#process?.gone;
      throw this.#why ?? new ConnectionBrokenError("its process does not listen");
    }
    if ("method" in message && message.method === "server/discover") this.puzzled = true;
    this.#underWay.sending(message, exchange);
    exchange?.sent();
    if (this.#outgoing === "") process.nextTick(this.#flush);
    this.#outgoing += `${JSON.stringify(message)}\n`;
  }

  /** What one turn of the event loop has to say goes out in one piece: writing costs more than anything else here. */
  readonly #flush = (): void => {
    const text = this.#outgoing;
    this.#outgoing = "";
    this.#process?.stdin.write(text);
  };

  /** Resolves when the process is gone. */
  async close(): Promise<void> {
    this.#why ??= new ConnectionClosedError();
    // One that has not said a word has nothing to bring to an end.
    if (!this.#spoke) this.#process?.kill();
    await this.#process?.stop(this.#settings.grace);
    this.#finish(this.#why);
  }

  #take(line: string): void {
    if (line.trim() === "") return;
    const message = parsed(line);
    if (message === undefined) {
      this.#noise++;
      if (this.#noise === 1)
        this.#settings.log.warn(
          "A server writes to its standard output what is no MCP message; it is left out. It should write to standard error.",
          { serverId: this.#settings.serverId },
        );
      return;
    }
    this.#spoke = true;
    if (!("method" in message)) this.puzzled = false;
    deliver(this, message, this.#underWay.answered(message));
  }

  #tooLong(outline: Outline): void {
    const { serverId, longestMessage, log } = this.#settings;
    log.warn(
      `A server wrote a line of more than ${longestMessage} bytes, which was discarded; raise longestMessage of its pool's transport if that is meant.`,
      { serverId },
    );
    discard(this, outline, this.#underWay.answered(outline), AnswerTooLargeError.tooLong(serverId, longestMessage));
  }

  #gone({ code, signal }: Exit): void {
    const how = signal ? `was ended by ${signal}` : `exited with code ${code}`;
    const last = this.#errorOutput?.last ?? "";
    this.#finish(this.#why ?? new ConnectionBrokenError(`its process ${how}${last === "" ? "" : `: ${last}`}`));
  }

  #finish(why: Error): void {
    this.#why ??= why;
    this.#end(this.#why);
    const { onclose } = this;
    delete this.onclose;
    onclose?.();
  }
}

function parsed(line: string): JSONRPCMessage | undefined {
  try {
    const message: unknown = JSON.parse(line);
    return isMessage(message) ? message : undefined;
  } catch {
    return undefined;
  }
}
