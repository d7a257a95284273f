import { ConfigError, type Clock, type ConfigIssue } from "@davpool/core";
import { Batches, type BatchStats } from "./batching.ts";
import { AnswerCache, type CacheStats } from "./cache.ts";
import { canonicalJson } from "./canonical.ts";
import type { McpServerPoolOptions } from "./options.ts";
import { METHOD_OF, type Payloads, type RequestType, type Results } from "./requests.ts";
import { Shared } from "./shared.ts";
import type { TaskOptions } from "./work-queue/task.ts";

export interface ReadsParts {
  readonly options: Pick<McpServerPoolOptions, "batch" | "cache">;
  readonly clock: Clock;
  /** Whether a request changes nothing; asks servers what they say of it where that is not known yet. */
  readonly isReadOnly: <T extends RequestType>(type: T, payload: Payloads[T], options: TaskOptions) => Promise<boolean>;
  readonly send: <T extends RequestType>(type: T, payload: Payloads[T], options: TaskOptions) => Promise<Results[T]>;
}

/**
 * Stands before the work queue where a cache or batches are wanted. Requests that change nothing may be answered from the
 * cache, wait for others to leave with, and share an answer with those that are the same; all others pass.
 */
export class Reads {
  readonly #parts: ReadsParts;
  readonly #cache: AnswerCache | undefined;
  readonly #batches: Batches | undefined;
  /** Requests that others may join: those that are held back, and with a cache those that are under way as well. */
  readonly #open = new Map<string, Shared<object>>();
  /** Changes with everything that was heard to have changed: what was asked before is not kept. */
  #edition = 0;

  /** @throws ConfigError */
  constructor(parts: ReadsParts) {
    const { cache, batch } = parts.options;
    check(parts.options);
    this.#parts = parts;
    this.#cache = cache && new AnswerCache(cache, parts.clock);
    this.#batches = batch && new Batches(batch, parts.clock);
  }

  get stats(): { readonly cache?: CacheStats; readonly batch?: BatchStats } {
    return {
      ...(this.#cache && { cache: this.#cache.stats }),
      ...(this.#batches && { batch: this.#batches.stats }),
    };
  }

  async request<T extends RequestType>(type: T, payload: Payloads[T], options: TaskOptions): Promise<Results[T]> {
    const { signal, ...rest } = options;
    // Whoever follows a task by its id, or its progress, has it for himself.
    const alone = rest.taskId !== undefined || rest.onProgress !== undefined;
    if (alone || !(await this.#parts.isReadOnly(type, payload, options)))
      return this.#parts.send(type, payload, options);
    const key = canonicalJson([type, payload, rest.serverId]);
    const kept = this.#cache?.get(key);
    if (kept) {
      this.#cache?.looked(true);
      return structuredClone(kept) as Results[T];
    }
    const same = canonicalJson([key, rest]);
    const open = this.#open.get(same);
    const joins = open !== undefined && !open.abandoned;
    this.#cache?.looked(joins);
    const shared = joins ? open : this.#begin(type, payload, rest, key, same);
    return (await shared.join(signal)) as Results[T];
  }

  /** A server said something of its own accord. */
  heard(method: string, params: Readonly<Record<string, unknown>> | undefined): void {
    if (!this.#cache?.heard(method, params)) return;
    this.#edition++;
    // What is under way may be older than the change.
    this.#open.clear();
  }

  /** Has everything leave that is held back; from now on nothing is. */
  close(): void {
    this.#batches?.close();
  }

  #begin<T extends RequestType>(
    type: T,
    payload: Payloads[T],
    options: TaskOptions,
    key: string,
    same: string,
  ): Shared<object> {
    const shared = new Shared<object>(METHOD_OF[type], (signal) =>
      this.#parts.send(type, payload, { ...options, signal }),
    );
    this.#open.set(same, shared);
    const close = () => {
      if (this.#open.get(same) === shared) this.#open.delete(same);
    };
    const start = async () => {
      if (!this.#cache) close();
      const edition = this.#edition;
      const result = await shared.start();
      close();
      const uri = "uri" in payload ? payload.uri : undefined;
      if (result && edition === this.#edition) this.#cache?.set(key, type, uri, structuredClone(result));
    };
    if (this.#batches) this.#batches.add(type, () => void start());
    else void start();
    return shared;
  }
}

/** @throws ConfigError with everything that is wrong. */
function check({ batch, cache }: Pick<McpServerPoolOptions, "batch" | "cache">): void {
  const wanted: readonly (readonly [path: string, value: unknown, least: number, unit: string])[] = [
    ...(batch
      ? ([
          ["batch.size", batch.size, 1, "requests"],
          ["batch.delay", batch.delay, 0, "milliseconds"],
        ] as const)
      : []),
    ...(cache
      ? ([
          ["cache.ttl", cache.ttl, 1, "milliseconds"],
          ["cache.maxEntries", cache.maxEntries ?? 1, 1, "answers"],
        ] as const)
      : []),
  ];
  const issues: readonly ConfigIssue[] = wanted.flatMap(([path, value, least, unit]) =>
    Number.isSafeInteger(value) && (value as number) >= least
      ? []
      : {
          path,
          message: `must be a whole number of ${unit}, ${least} or more; it is ${String(value)}.`,
        },
  );
  if (issues.length > 0) throw new ConfigError(undefined, issues);
}
