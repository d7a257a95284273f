import type { ServerResponse } from "node:http";
import type { Clock } from "@davpool/core";

/** Milliseconds for which a client may read nothing of an answer that waits for it. */
const PATIENCE = 60_000;
/** Milliseconds between two looks. */
const INTERVAL = 15_000;

/** Cuts off clients that stop reading their answers, which would be kept for them in memory. One timer for all. */
export class SlowClients implements Disposable {
  readonly #clock: Clock;
  readonly #open = new Set<ServerResponse>();
  /** Since when an answer waits for its client. */
  readonly #waiting = new Map<ServerResponse, number>();
  #timer: Disposable | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  watch(response: ServerResponse): void {
    this.#open.add(response);
    response.once("close", () => {
      this.#open.delete(response);
      this.#waiting.delete(response);
    });
    this.#arm();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #look(): void {
    const now = this.#clock.now();
    for (const response of this.#open) {
      const since = this.#waiting.get(response);
      if (!isStuck(response)) this.#waiting.delete(response);
      else if (since === undefined) {
        this.#waiting.set(response, now);
        response.once("drain", () => this.#waiting.delete(response));
      } else if (now - since >= PATIENCE) response.destroy();
    }
  }

  #arm(): void {
    this.#timer ??= this.#clock.after(
      INTERVAL,
      () => {
        this.#timer = undefined;
        this.#look();
        if (this.#open.size > 0) this.#arm();
      },
      { background: true },
    );
  }
}

/** One that has been ended needs no drain, and may still wait for its client. */
function isStuck(response: ServerResponse): boolean {
  return response.writableEnded ? response.writableLength > 0 : response.writableNeedDrain;
}
