import { setTimeout as delay } from "node:timers/promises";
import { isDavpoolError } from "@davpool/core";
import type { WebDavBody, WebDavRequest, WebDavWire } from "@davpool/transport-webdav";
import type { DavPool } from "./dav-pool.ts";
import { seededRandom } from "./seeded-random.ts";

export const SHARED_FOLDER = "/shared/";
const SHARED_FILE = `${SHARED_FOLDER}file.txt`;
const SHARED_CONTENT = "shared ".repeat(2_000);
export const WRITTEN_FOLDER = "/written/";

/** More than ever are written. */
const MOST_WRITES = 2 ** 22;
/** Most milliseconds that a worker rests between two calls. */
const REST = 120;

export interface LoadOptions {
  readonly workers: number;
  readonly seed: number;
  /** Milliseconds that a call may take. */
  readonly deadline: number;
  /** In the order of the numbers that acknowledgements are kept by. */
  readonly serverIds: readonly string[];
}

/** Workers that read and write through a pool, and remember what was promised to them. */
export class ChaosLoad {
  readonly #pool: DavPool;
  readonly #options: LoadOptions;
  /** By the number of the write: one more than the number of the server that acknowledged it. */
  readonly #acknowledged = new Uint8Array(MOST_WRITES);
  #writes = 0;
  /** How calls ended: `GET answered`, `PUT OUTCOME_UNKNOWN`. */
  readonly outcomes = new Map<string, number>();
  /** Answers that no server may give: wrong content, and errors that are not the pool's own. */
  readonly wrong: string[] = [];
  calls = 0;
  /** Calls that have not settled. */
  pending = 0;
  /** Milliseconds after its deadline at which the latest call settled. */
  latest = -Infinity;

  constructor(pool: DavPool, options: LoadOptions) {
    this.#pool = pool;
    this.#options = options;
  }

  /** Gives every server what all of them have. */
  async prepare(): Promise<void> {
    for (const serverId of this.#options.serverIds) {
      const send = async (request: WebDavRequest) => {
        const { value } = await this.#pool.execute(request, { serverId, consume: consumeText });
        if (value.status !== 201) throw new Error(`${request.method} ${request.path} was answered ${value.status}`);
      };
      await send({ method: "MKCOL", path: SHARED_FOLDER });
      await send({ method: "MKCOL", path: WRITTEN_FOLDER });
      await send({ method: "PUT", path: SHARED_FILE, body: SHARED_CONTENT });
    }
  }

  /** Works until the signal aborts; resolves when every call has settled. */
  async work(signal: AbortSignal): Promise<void> {
    const workers = Array.from({ length: this.#options.workers }, async (_, index) => {
      const random = seededRandom(this.#options.seed + index + 1);
      while (!signal.aborted) {
        await this.#oneCall(random);
        await delay(random() * REST, undefined, { signal }).catch(() => {});
      }
    });
    await Promise.all(workers);
  }

  get acknowledged(): number {
    let count = 0;
    for (const server of this.#acknowledged) if (server > 0) count++;
    return count;
  }

  /** Reads every acknowledged write from the server that was named. @returns what is missing or wrong. */
  async verify(signal: AbortSignal): Promise<readonly string[]> {
    const lost: string[] = [];
    let next = 0;
    const reader = async () => {
      while (next < this.#writes) {
        signal.throwIfAborted();
        const number = next++;
        const serverId = this.#acknowledgedBy(number);
        if (serverId === undefined) continue;
        const problem = await this.#read(number, serverId).then(
          ({ value }) => whatIsWrong(value, number),
          (error: unknown) => String(error),
        );
        if (problem !== undefined) lost.push(`${pathOf(number)} on ${serverId}: ${problem}`);
      }
    };
    await Promise.all(Array.from({ length: 16 }, reader));
    return lost;
  }

  async #oneCall(random: () => number): Promise<void> {
    const choice = random();
    if (choice < 0.45)
      await this.#counted("GET", { method: "GET", path: SHARED_FILE }, ({ status, text }) =>
        status === 200 && text === SHARED_CONTENT ? undefined : `${status} with ${text.length} characters`,
      );
    else if (choice < 0.6)
      await this.#counted(
        "PROPFIND",
        { method: "PROPFIND", path: SHARED_FOLDER, headers: { depth: "1" } },
        ({ status, text }) => (status === 207 && text.includes("file.txt") ? undefined : `${status}: ${text}`),
      );
    else if (choice < 0.75) await this.#readBack(random);
    else await this.#write(random);
  }

  /** A read of something acknowledged, from where it was acknowledged. */
  async #readBack(random: () => number): Promise<void> {
    const number = Math.floor(random() * this.#writes);
    const serverId = this.#acknowledgedBy(number);
    if (serverId === undefined) return;
    const request = { method: "GET", path: pathOf(number) };
    await this.#counted("GET of one server", request, (value) => whatIsWrong(value, number), serverId);
  }

  async #write(random: () => number): Promise<void> {
    if (this.#writes === MOST_WRITES) return;
    // Every path is written by one call only: an attempt whose answer was lost may be carried out much later, when a
    // server that hangs goes on, and must not replace anything newer.
    const number = this.#writes++;
    const request = { method: "PUT", path: pathOf(number), body: bodyOf(contentOf(number), random()) };
    const answer = await this.#counted("PUT", request, () => undefined);
    if (answer && answer.value.status < 300)
      this.#acknowledged[number] = 1 + this.#options.serverIds.indexOf(answer.serverId);
  }

  async #counted(name: string, request: WebDavRequest, check: (value: Text) => string | undefined, serverId?: string) {
    const { deadline } = this.#options;
    const start = performance.now();
    this.calls++;
    this.pending++;
    try {
      const to = serverId === undefined ? {} : { serverId };
      const answer = await this.#pool.execute(request, { ...to, deadline, consume: consumeText });
      const { status } = answer.value;
      this.#count(`${name} ${status < 300 ? "answered" : status}`);
      const problem = check(answer.value);
      if (problem !== undefined) this.wrong.push(`${name} ${request.path} from ${answer.serverId}: ${problem}`);
      return answer;
    } catch (error) {
      this.#count(`${name} ${isDavpoolError(error) ? error.code : String(error)}`);
      if (!isDavpoolError(error)) this.wrong.push(`${name} ${request.path}: ${String(error)}`);
      return undefined;
    } finally {
      this.pending--;
      this.latest = Math.max(this.latest, performance.now() - start - deadline);
    }
  }

  #read(number: number, serverId: string) {
    return this.#pool.execute({ method: "GET", path: pathOf(number) }, { serverId, consume: consumeText });
  }

  #acknowledgedBy(number: number): string | undefined {
    return this.#options.serverIds[(this.#acknowledged[number] ?? 0) - 1];
  }

  #count(outcome: string): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }
}

interface Text {
  readonly status: number;
  readonly text: string;
}

async function consumeText({ status, body }: WebDavWire["response"]): Promise<Text> {
  return { status, text: await body.text() };
}

function whatIsWrong({ status, text }: Text, number: number): string | undefined {
  return status === 200 && text === contentOf(number) ? undefined : `${status} with ${text.length} characters`;
}

function pathOf(number: number): string {
  return `${WRITTEN_FOLDER}${number}.txt`;
}

/** Different for each write, so that nothing need be remembered of it. */
function contentOf(number: number): string {
  return `${number} `.repeat(20 + (number % 300));
}

/** Text, bytes, a stream that can be made anew, or one that can be read only once. */
function bodyOf(content: string, chance: number): WebDavBody {
  if (chance < 0.4) return content;
  const bytes = Buffer.from(content);
  if (chance < 0.6) return bytes;
  async function* stream() {
    const half = bytes.byteLength >> 1;
    yield bytes.subarray(0, half);
    yield bytes.subarray(half);
  }
  return chance < 0.8 ? stream : stream();
}
