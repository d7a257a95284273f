import { open, stat, type FileHandle } from "node:fs/promises";
import { describeError, type Clock, type Log } from "@davpool/core";

/** Bytes that may wait for the disk. */
const MOST_WAITING = 4 * 2 ** 20;
/** Milliseconds after which what could not be written is tried again. */
const PAUSE = 1_000;
/** Milliseconds that closing takes at most. */
const CLOSING_LIMIT = 3_000;
const LINE_END = 0x0a;

export interface AuditFileInit {
  /** Absolute. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
  /** The line that stands for so many that were lost. */
  readonly lostLine: (lost: number) => string;
}

/** The file that is open, and what it is on the disk: another one may have taken its name. */
interface OpenFile {
  readonly handle: FileHandle;
  readonly identity: string;
}

/**
 * Appends lines to a file without making anybody wait. What the disk does not take waits in memory, up to a limit;
 * beyond it lines are lost, and the next one that is written is preceded by one that says how many.
 *
 * Whole lines go into the file in one piece, so several writers may share it. One that is renamed or removed is made
 * anew, and one that is emptied goes on from its beginning.
 */
export class AuditFile implements AsyncDisposable {
  readonly #init: AuditFileInit;
  #file: OpenFile | undefined;
  #waiting: string[] = [];
  /** Lines that are being written. */
  #batch = Buffer.alloc(0);
  /** Bytes of the batch that are in the file. */
  #written = 0;
  /** Bytes that wait, the batch included. */
  #bytes = 0;
  /** Lines that the file has not been told of. */
  #lost = 0;
  /** Since there was trouble. */
  #lostMeanwhile = 0;
  /** What the log has been told of, until everything is written again. */
  readonly #troubles = new Set<string>();
  #writing: Promise<void> | undefined;
  #pause: Disposable | undefined;
  #state: "open" | "closing" | "closed" = "open";

  constructor(init: AuditFileInit) {
    this.#init = init;
  }

  /** False while lines cannot be written, or not as fast as they come. */
  get isWell(): boolean {
    return this.#troubles.size === 0;
  }

  /** Opens the file, and makes it when it is not there. @throws what the operating system refuses it with. */
  async open(): Promise<void> {
    // Who asked for what is not everybody's to read. A file that is there keeps its mode.
    const handle = await open(this.#init.path, "a", 0o600);
    this.#file = { handle, identity: identityOf(await handle.stat({ bigint: true })) };
  }

  /** @param line its end included. */
  append(line: string): void {
    if (this.#state !== "open") return;
    const text = this.#lost > 0 ? this.#init.lostLine(this.#lost) + line : line;
    const size = Buffer.byteLength(text);
    if (this.#bytes + size > MOST_WAITING) {
      this.#lost++;
      this.#lostMeanwhile++;
      this.#report("more calls end than the disk takes lines");
      return;
    }
    this.#lost = 0;
    this.#take(text, size);
    this.#drain();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "closing";
    if (this.#lost > 0) this.#take(this.#init.lostLine(this.#lost));
    this.#pause?.[Symbol.dispose]();
    this.#pause = undefined;
    this.#drain();
    const late = Promise.withResolvers<void>();
    using _ = this.#init.clock.after(CLOSING_LIMIT, late.resolve);
    await Promise.race([this.#writing, late.promise]);
    this.#state = "closed";
    const left = this.#waiting.length + countLines(this.#batch.subarray(this.#written));
    if (left > 0) this.#init.log.error(`${left} lines still waited for the audit log and are lost.`, this.#fields());
    // A disk that does not answer is not waited for any longer.
    const closing = this.#file?.handle.close();
    if (this.#writing) closing?.catch(() => undefined);
    else await closing;
  }

  #take(text: string, size = Buffer.byteLength(text)): void {
    this.#waiting.push(text);
    this.#bytes += size;
  }

  #drain(): void {
    if (this.#writing || this.#pause || this.#bytes === 0) return;
    this.#writing = this.#write();
  }

  async #write(): Promise<void> {
    try {
      while (this.#bytes > 0) await this.#writeBatch();
      this.#recovered();
    } catch (error) {
      if (this.#state !== "closed") this.#report(describeError(error));
      if (this.#state === "open") this.#tryLater();
    } finally {
      this.#writing = undefined;
    }
  }

  /** Everything that waits goes together: the more calls there are, the fewer writes each takes. */
  async #writeBatch(): Promise<void> {
    if (this.#batch.byteLength === 0) {
      this.#batch = Buffer.from(this.#waiting.join(""));
      this.#waiting = [];
    }
    const handle = await this.#handle();
    while (this.#written < this.#batch.byteLength)
      this.#written += (await handle.write(this.#batch, this.#written)).bytesWritten;
    this.#bytes -= this.#batch.byteLength;
    this.#batch = Buffer.alloc(0);
    this.#written = 0;
  }

  /** The file that has the name now. */
  async #handle(): Promise<FileHandle> {
    const there = await stat(this.#init.path, { bigint: true }).catch(() => undefined);
    if (this.#file && there && identityOf(there) === this.#file.identity) return this.#file.handle;
    const former = this.#file;
    await this.open();
    await former?.handle.close().catch(() => undefined);
    // A line of which the former one has the beginning is told to this one as a whole.
    this.#written = this.#batch.subarray(0, this.#written).lastIndexOf(LINE_END) + 1;
    return (this.#file as OpenFile).handle;
  }

  #tryLater(): void {
    const again = () => {
      this.#pause = undefined;
      this.#drain();
    };
    this.#pause = this.#init.clock.after(PAUSE, again, { background: true });
  }

  /** Each trouble once, until all are over. */
  #report(trouble: string): void {
    if (this.#troubles.has(trouble)) return;
    this.#troubles.add(trouble);
    this.#init.log.error(`The audit log is not written as it should be: ${trouble}`, this.#fields());
  }

  #recovered(): void {
    if (this.isWell) return;
    this.#troubles.clear();
    const lost = this.#lostMeanwhile;
    this.#lostMeanwhile = 0;
    this.#init.log.info(`The audit log is written again; ${lost} lines were lost meanwhile.`, {
      ...this.#fields(),
      lost,
    });
  }

  #fields(): { readonly file: string } {
    return { file: this.#init.path };
  }
}

function identityOf({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${dev}:${ino}`;
}

function countLines(bytes: Buffer): number {
  return bytes.reduce((lines, byte) => (byte === LINE_END ? lines + 1 : lines), 0);
}
