import type { Socket } from "node:net";
import type { Clock } from "./clock.ts";

/** A server's connection from one request to the next. */
export class KeepAlive {
  readonly #socket: Socket;
  readonly #clock: Clock;
  #requests = 0;
  #expiry: Disposable | undefined;

  constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    socket.once("close", () => this.#expiry?.[Symbol.dispose]());
  }

  /** Whether the current request is not the connection's first. */
  get reused(): boolean {
    return this.#requests > 1;
  }

  /** A request has arrived: the connection is idle no more. */
  begin(): void {
    this.#requests += 1;
    this.#expiry?.[Symbol.dispose]();
    this.#expiry = undefined;
  }

  /** Closes the connection unless a request arrives within `ms` milliseconds, or `off` is aborted. */
  expireAfter(ms: number, off: AbortSignal): void {
    if (this.#socket.destroyed) return;
    this.#expiry?.[Symbol.dispose]();
    this.#expiry = this.#clock.after(ms, () => {
      if (!off.aborted) this.#socket.destroySoon();
    });
  }
}
