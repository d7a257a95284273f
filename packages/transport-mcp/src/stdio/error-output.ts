import type { Readable } from "node:stream";
import type { Log } from "@davpool/core";
import { Lines } from "./lines.ts";

const LONGEST_LINE = 1_000;
const SHORTEST_SECRET = 4;
const MOST_LINES = 1_000;
/** Bytes of a line; longer ones are left out. */
const LONGEST_READ = 64 * 1024;
/** What comes after the reason: where it happened, what else the error has, brackets, and the version of the runtime. */
const AFTERWARDS = /^\s+at |^\s+\S+: |^[^\p{L}\p{N}]+$|^Node\.js v\d/u;

/**
 * What a server writes to its standard error: lines for the log, at level debug and not without end, and the last one
 * for the message when it dies.
 */
export class ErrorOutput {
  readonly #log: Log;
  readonly #serverId: string;
  readonly #secrets: readonly string[];
  #count = 0;
  #last = "";

  /** @param secrets what the process was given in confidence, and may not show. */
  constructor(stream: Readable, log: Log, serverId: string, secrets: readonly string[]) {
    this.#log = log;
    this.#serverId = serverId;
    // The longer ones first: one may be part of another. What is very short keeps no secret, and stands everywhere.
    this.#secrets = secrets
      .filter((secret) => secret.length >= SHORTEST_SECRET)
      .toSorted((one, other) => other.length - one.length);
    const lines = new Lines(LONGEST_READ);
    stream.on("data", (chunk: Buffer) => {
      for (const line of lines.push(chunk)) if (typeof line === "string") this.#take(line);
    });
    stream.on("error", () => {});
  }

  /** The last line that says anything, for a message. */
  get last(): string {
    return this.#last.trimStart().slice(0, 200);
  }

  #take(written: string): void {
    let line = written.trimEnd();
    if (line === "") return;
    for (const secret of this.#secrets) line = line.replaceAll(secret, "…");
    if (line.length > LONGEST_LINE) line = `${line.slice(0, LONGEST_LINE)}…`;
    if (this.#last === "" || !AFTERWARDS.test(line)) this.#last = line;
    this.#count++;
    if (this.#count <= MOST_LINES) this.#log.debug(line, { serverId: this.#serverId, stream: "stderr" });
    if (this.#count === MOST_LINES)
      this.#log.debug(`It has written ${MOST_LINES} lines to its standard error; the rest is not logged.`, {
        serverId: this.#serverId,
      });
  }
}
