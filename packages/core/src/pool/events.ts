import type { Log } from "../contracts/log.ts";
import type { PoolEvents } from "../contracts/pool.ts";
import { describeError } from "../errors/davpool-error.ts";

type Listener<K extends keyof PoolEvents> = (detail: PoolEvents[K]) => void;

/** Tells a pool's listeners what happens, typed by event. */
export class EventChannel {
  readonly #listeners = new Map<keyof PoolEvents, Set<Listener<never>>>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  on<K extends keyof PoolEvents>(event: K, listener: Listener<K>): Disposable {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return { [Symbol.dispose]: () => void listeners.delete(listener) };
  }

  emit<K extends keyof PoolEvents>(event: K, detail: PoolEvents[K]): void {
    for (const listener of this.#listeners.get(event) ?? []) {
      try {
        const result: unknown = (listener as Listener<K>)(detail);
        // An async function is a listener to the types; what it rejects with must not end the process.
        if (result instanceof Promise) result.catch((error: unknown) => this.#failed(event, error));
      } catch (error) {
        this.#failed(event, error);
      }
    }
  }

  #failed(event: keyof PoolEvents, error: unknown): void {
    this.#log.error(`A listener of "${event}" failed.`, { event, error: describeError(error) });
  }
}
