import type { Clock } from "@davpool/core";

/** Ends a call that has reported no progress for some time. */
export class ProgressLimit implements Disposable {
  readonly #clock: Clock;
  readonly #time: number;
  readonly #controller = new AbortController();
  readonly #client: AbortSignal;
  #timer: Disposable | undefined;
  /** It ended the call. */
  expired = false;

  /**
   * @param time milliseconds, from now and from each report.
   * @param client aborts when the client does not wait any more.
   */
  constructor(clock: Clock, time: number, client: AbortSignal) {
    this.#clock = clock;
    this.#time = time;
    this.#client = client;
    client.addEventListener("abort", this.#abort, { once: true });
    if (client.aborted) this.#abort();
    this.extend();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The server has reported progress. */
  extend(): void {
    this.#timer?.[Symbol.dispose]();
    if (this.#time === Infinity || this.#controller.signal.aborted) return;
    this.#timer = this.#clock.after(
      this.#time,
      () => {
        this.expired = true;
        this.#controller.abort(new Error("The call took too long."));
      },
      { background: true },
    );
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#client.removeEventListener("abort", this.#abort);
  }

  readonly #abort = (): void => this.#controller.abort(this.#client.reason);
}
