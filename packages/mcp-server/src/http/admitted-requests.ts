import type { ServerResponse } from "node:http";
import type { Clock } from "@davpool/core";
import type { Principal } from "../identity/index.ts";

/** Milliseconds between two looks for tokens that have expired. */
const INTERVAL = 1_000;

/**
 * Requests that are open, by who was admitted for them. A stream ends when the token that opened it expires, a call that has
 * been begun may end within its time; whoever is not admitted any more is cut off at once. One timer for all.
 */
export class AdmittedRequests implements Disposable {
  readonly #clock: Clock;
  /** Milliseconds that a call may take. */
  readonly #callTime: number;
  readonly #open = new Map<ServerResponse, Principal>();
  /** Those whose tokens expire. */
  #expiring = 0;
  #timer: Disposable | undefined;

  constructor(clock: Clock, callTime: number) {
    this.#clock = clock;
    this.#callTime = callTime;
  }

  add(response: ServerResponse, principal: Principal): void {
    if (response.closed) return;
    const expires = principal.expiresAt === undefined ? 0 : 1;
    this.#open.set(response, principal);
    this.#expiring += expires;
    response.once("close", () => {
      this.#open.delete(response);
      this.#expiring -= expires;
    });
    if (expires > 0) this.#arm();
  }

  /** Cuts off everybody else. */
  endUnless(admitted: (principal: Principal) => boolean): void {
    for (const [response, principal] of this.#open) if (!admitted(principal)) response.destroy();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #look(): void {
    const now = this.#clock.wall().getTime();
    for (const [response, { expiresAt = Infinity }] of this.#open)
      if (now >= expiresAt && (isStream(response) || now >= expiresAt + this.#callTime)) response.destroy();
  }

  #arm(): void {
    this.#timer ??= this.#clock.after(
      INTERVAL,
      () => {
        this.#timer = undefined;
        this.#look();
        if (this.#expiring > 0) this.#arm();
      },
      { background: true },
    );
  }
}

/** News go on for as long as somebody listens, and so does an answer that comes as a stream. */
function isStream(response: ServerResponse): boolean {
  return response.headersSent && String(response.getHeader("content-type")).startsWith("text/event-stream");
}
