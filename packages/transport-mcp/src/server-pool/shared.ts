import { cancellable } from "./cancellable.ts";

/** One request that several callers wait for. It is cancelled once all of them have gone. */
export class Shared<T> {
  readonly #operation: string;
  readonly #send: (signal: AbortSignal) => Promise<T>;
  readonly #answer = Promise.withResolvers<T>();
  readonly #abort = new AbortController();
  #waiting = 0;
  #settled = false;

  constructor(operation: string, send: (signal: AbortSignal) => Promise<T>) {
    this.#operation = operation;
    this.#send = send;
    // Whoever waits hears of it, and nobody may be left.
    this.#answer.promise.catch(() => {});
  }

  /** Nobody waits for it any more: whoever comes now needs another one. */
  get abandoned(): boolean {
    return this.#abort.signal.aborted;
  }

  /** Sends it, unless nobody waits for it any more. Never rejects. @returns the answer, if there is one. */
  async start(): Promise<T | undefined> {
    if (this.abandoned) return undefined;
    try {
      const answer = await this.#send(this.#abort.signal);
      this.#settled = true;
      this.#answer.resolve(answer);
      return answer;
    } catch (error) {
      this.#settled = true;
      this.#answer.reject(error);
      return undefined;
    }
  }

  /** Waits for the answer, of which every caller has a copy. */
  async join(signal: AbortSignal | undefined): Promise<T> {
    this.#waiting++;
    try {
      return structuredClone(await cancellable(this.#answer.promise, this.#operation, signal));
    } finally {
      if (--this.#waiting === 0 && !this.#settled) this.#abort.abort(signal?.reason);
    }
  }
}
