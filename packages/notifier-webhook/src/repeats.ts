import type { Clock, Notice } from "@davpool/core";
import type { WebhookNotice } from "./webhook-notice.ts";

interface Window {
  readonly timer: Disposable;
  /** Since the last one was passed on. */
  count: number;
  last: Notice;
}

/**
 * Passes the first of several equal failovers on at once, and those that follow within the interval together, as one
 * notice with their count. A server that dies under load would otherwise be told of once for every request.
 */
export class Repeats {
  readonly #interval: number;
  readonly #clock: Clock;
  readonly #pass: (notice: WebhookNotice) => void;
  readonly #windows = new Map<string, Window>();

  /** @param interval milliseconds; 0 passes everything on. */
  constructor(interval: number, clock: Clock, pass: (notice: WebhookNotice) => void) {
    this.#interval = interval;
    this.#clock = clock;
    this.#pass = pass;
  }

  take(notice: Notice): void {
    if (notice.kind !== "failover" || this.#interval === 0) {
      this.#pass(notice);
      return;
    }
    const key = JSON.stringify([notice.serverId, notice.to]);
    const window = this.#windows.get(key);
    if (window) {
      window.count++;
      window.last = notice;
      return;
    }
    this.#open(key, notice);
    this.#pass(notice);
  }

  /** Passes on what has been counted, without waiting for the intervals to end. */
  flush(): void {
    for (const [key, window] of this.#windows) {
      window.timer[Symbol.dispose]();
      this.#windows.delete(key);
      this.#passCounted(window);
    }
  }

  #open(key: string, last: Notice): void {
    const timer = this.#clock.after(this.#interval, () => this.#ended(key), { background: true });
    this.#windows.set(key, { timer, count: 0, last });
  }

  #ended(key: string): void {
    const window = this.#windows.get(key);
    this.#windows.delete(key);
    if (!window || window.count === 0) return;
    // It goes on: the next ones are counted again.
    this.#open(key, window.last);
    this.#passCounted(window);
  }

  #passCounted({ count, last }: Window): void {
    if (count > 0) this.#pass(count === 1 ? last : { ...last, count });
  }
}
