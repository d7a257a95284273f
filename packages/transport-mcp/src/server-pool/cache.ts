import type { Clock } from "@davpool/core";
import type { RequestType } from "./requests.ts";

export interface CacheOptions {
  /** Milliseconds for which an answer is good. */
  readonly ttl: number;
  /** Answers that are kept; the one that was not used for longest goes first. Default: 1,000. */
  readonly maxEntries?: number;
}

export interface CacheStats {
  readonly entries: number;
  /** Requests that were answered from here, or by the answer to another one that was under way. */
  readonly hits: number;
  readonly misses: number;
}

interface Entry {
  readonly type: RequestType;
  /** Of a resource. */
  readonly uri: string | undefined;
  readonly result: object;
  readonly expires: number;
}

const MOST_ENTRIES = 1_000;

/** What each notification says has changed. */
const CHANGED: Readonly<Record<string, RequestType>> = {
  "notifications/tools/list_changed": "tool_call",
  "notifications/prompts/list_changed": "prompt_get",
  "notifications/resources/list_changed": "resource_read",
  "notifications/resources/updated": "resource_read",
};

/** Answers by the text of their requests, bounded in number and age. */
export class AnswerCache {
  readonly #ttl: number;
  readonly #most: number;
  readonly #clock: Clock;
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();
  #hits = 0;
  #misses = 0;

  constructor({ ttl, maxEntries = MOST_ENTRIES }: CacheOptions, clock: Clock) {
    this.#ttl = ttl;
    this.#most = maxEntries;
    this.#clock = clock;
  }

  get stats(): CacheStats {
    return { entries: this.#entries.size, hits: this.#hits, misses: this.#misses };
  }

  get(key: string): object | undefined {
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    if (!entry || entry.expires <= this.#clock.now()) return undefined;
    this.#entries.set(key, entry);
    return entry.result;
  }

  /** Counts a request that was looked up. */
  looked(found: boolean): void {
    if (found) this.#hits++;
    else this.#misses++;
  }

  /** Keeps an answer, unless it is one that another try may better: `isError`, or a question for more input. */
  set(key: string, type: RequestType, uri: string | undefined, result: object): void {
    const { isError, resultType = "complete" } = result as { isError?: unknown; resultType?: unknown };
    if (isError === true || resultType !== "complete") return;
    this.#entries.delete(key);
    this.#entries.set(key, { type, uri, result, expires: this.#clock.now() + this.#ttl });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#most) break;
      this.#entries.delete(oldest);
    }
  }

  /** Forgets what a server's notification says has changed. @returns false when it speaks of nothing that is kept here. */
  heard(method: string, params: Readonly<Record<string, unknown>> | undefined): boolean {
    const type = Object.hasOwn(CHANGED, method) ? CHANGED[method] : undefined;
    if (type === undefined) return false;
    const uri = method === "notifications/resources/updated" ? params?.["uri"] : undefined;
    for (const [key, entry] of this.#entries)
      if (entry.type === type && (uri === undefined || entry.uri === uri)) this.#entries.delete(key);
    return true;
  }
}
