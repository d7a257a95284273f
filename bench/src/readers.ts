import type { AttemptRecord } from "@davpool/core";
import { consumeSize, type DavPool } from "./dav-pool.ts";

/** What the reads show that end while it is observed. */
export interface Observed {
  readonly reads: number;
  /** In words. */
  readonly failures: readonly string[];
  /** Milliseconds from the call to its answer or error. */
  readonly slowest: number;
  /** Milliseconds of the slowest last attempt of reads that had to move, without what came before it. */
  readonly slowestBackup: number;
  /** How the slowest one went, attempt by attempt. */
  explainSlowest(): string;
  shareOf(serverId: string): number;
  end(): void;
}

/** Readers of one file, each of which reads it again as soon as it has it. */
export class Readers implements AsyncDisposable {
  readonly #pool: DavPool;
  readonly #load: { readonly path: string; readonly size: number };
  readonly #observers = new Set<Observation>();
  readonly #answers = new Map<string, number>();
  readonly #readers: readonly Promise<void>[];
  #stopped = false;

  constructor(pool: DavPool, load: { readonly count: number; readonly path: string; readonly size: number }) {
    this.#pool = pool;
    this.#load = load;
    this.#readers = Array.from({ length: load.count }, () => this.#readOnAndOn());
  }

  observe(): Observed {
    const observation = new Observation(() => this.#observers.delete(observation));
    this.#observers.add(observation);
    return observation;
  }

  /** Reads that this server has answered so far. */
  answersOf(serverId: string): number {
    return this.#answers.get(serverId) ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#readers);
  }

  async #readOnAndOn(): Promise<void> {
    const { path, size } = this.#load;
    while (!this.#stopped) {
      const start = performance.now();
      let failure: string | undefined;
      let attempts: readonly AttemptRecord[] = [];
      try {
        const answer = await this.#pool.execute({ method: "GET", path }, { consume: consumeSize });
        const { value, serverId } = answer;
        if (value.status !== 200 || value.size !== size) failure = `${value.status} with ${value.size} bytes`;
        attempts = answer.attempts;
        this.#answers.set(serverId, this.answersOf(serverId) + 1);
      } catch (error) {
        failure = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
        // An error that comes at once must not keep this process from everything else.
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      for (const observer of this.#observers) observer.note(performance.now() - start, attempts, failure);
    }
  }
}

class Observation implements Observed {
  reads = 0;
  readonly failures: string[] = [];
  slowest = 0;
  slowestBackup = 0;
  #slowestAttempts: readonly AttemptRecord[] = [];
  readonly #answers = new Map<string, number>();
  readonly end: () => void;

  constructor(end: () => void) {
    this.end = end;
  }

  note(time: number, attempts: readonly AttemptRecord[], failure: string | undefined): void {
    this.reads++;
    if (failure !== undefined) this.failures.push(failure);
    if (time > this.slowest) {
      this.slowest = time;
      this.#slowestAttempts = attempts;
    }
    const last = attempts.at(-1);
    if (!last) return;
    this.#answers.set(last.serverId, (this.#answers.get(last.serverId) ?? 0) + 1);
    if (attempts.length > 1) this.slowestBackup = Math.max(this.slowestBackup, last.latency);
  }

  shareOf(serverId: string): number {
    return (this.#answers.get(serverId) ?? 0) / this.reads;
  }

  explainSlowest(): string {
    const attempts = this.#slowestAttempts.map(
      ({ serverId, latency, failure }) =>
        `${serverId} ${latency.toFixed(0)} ms${failure ? ` (${failure.kind}: ${failure.message})` : ""}`,
    );
    return `the slowest: ${attempts.join(", then ") || "no attempt"}`;
  }
}
