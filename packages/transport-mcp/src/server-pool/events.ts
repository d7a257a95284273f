import { describeError, type Log } from "@davpool/core";

/** What a pool tells, with what its listeners are given. */
export interface McpServerPoolEvents {
  /** It takes no requests until checks say that it has recovered. */
  "server-offline": [serverId: string, error: Error];
  /** Something failed, or is slow; it takes requests. */
  "server-degraded": [serverId: string, error: Error];
  /** It was offline, and takes requests again. */
  "server-recovered": [serverId: string];
  "task-completed": [taskId: string, result: unknown];
  "task-failed": [taskId: string, error: unknown];
}

type Listener<K extends keyof McpServerPoolEvents> = (...detail: McpServerPoolEvents[K]) => unknown;

/** Tells listeners what happens. One that throws is logged, and disturbs nobody. */
export class Events {
  readonly #listeners = new Map<keyof McpServerPoolEvents, Set<Listener<never>>>();
  readonly #log: Log | undefined;

  constructor(log: Log | undefined) {
    this.#log = log;
  }

  /** @returns disposing it ends the listening. */
  on<K extends keyof McpServerPoolEvents>(event: K, listener: Listener<K>): Disposable {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return { [Symbol.dispose]: () => void listeners.delete(listener) };
  }

  emit<K extends keyof McpServerPoolEvents>(event: K, ...detail: McpServerPoolEvents[K]): void {
    for (const listener of this.#listeners.get(event) ?? []) {
      try {
        const result = (listener as Listener<K>)(...detail);
        if (result instanceof Promise) result.catch((error: unknown) => this.#failed(event, error));
      } catch (error) {
        this.#failed(event, error);
      }
    }
  }

  #failed(event: string, error: unknown): void {
    this.#log?.error(`A listener of "${event}" failed.`, { event, error: describeError(error) });
  }
}
