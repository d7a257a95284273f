import type { Attempt } from "../contracts/connection.ts";
import type { Failure } from "../contracts/failure.ts";
import type { Caller, Wire } from "../contracts/wire.ts";
import type { Clock } from "../contracts/clock.ts";
import type { Deadlines, Timed } from "../time/deadlines.ts";
import type { Server } from "./server.ts";

export interface AttemptTiming {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  /** Milliseconds this attempt may take without progress. */
  readonly timeout: number;
  /** The call's deadline on the clock's scale. */
  readonly deadline: number;
  /** Bytes per millisecond. */
  readonly minimumRate: number;
}

/** One attempt in flight. It holds its server's slot until it has ended and nobody holds it any more. */
export class RunningAttempt<W extends Wire> implements Attempt, Timed {
  readonly server: Server<W>;
  readonly ordinal: number;
  readonly caller: Caller;
  readonly startedAt: number;
  expiresAt: number;
  /** Why the engine ended it, when it did. */
  ended: Failure | undefined;
  wasSent = false;
  readonly #timing: AttemptTiming;
  readonly #abort = new AbortController();
  readonly #released: (server: Server<W>, failure: Failure | undefined) => void;
  /** The engine's own, and one for each body that still flows. */
  #holds = 1;
  #detached = false;
  #bodyFailure: Failure | undefined;

  constructor(
    server: Server<W>,
    ordinal: number,
    caller: Caller,
    timing: AttemptTiming,
    released: (server: Server<W>, failure: Failure | undefined) => void,
  ) {
    this.server = server;
    this.ordinal = ordinal;
    this.caller = caller;
    this.#timing = timing;
    this.#released = released;
    this.startedAt = timing.clock.now();
    this.expiresAt = Math.min(this.startedAt + timing.timeout, timing.deadline);
    timing.deadlines.add(this);
  }

  get serverId(): string {
    return this.server.serverId;
  }
  get signal(): AbortSignal {
    return this.#abort.signal;
  }
  get elapsed(): number {
    return this.#timing.clock.now() - this.startedAt;
  }

  sent(): void {
    this.wasSent = true;
  }

  progress(bytes: number): void {
    const { clock, timeout, deadline, minimumRate } = this.#timing;
    // Every byte buys the time it may take at the minimum rate; handed over, a body may only not stand still.
    this.expiresAt = this.#detached ? clock.now() + timeout : Math.min(this.expiresAt + bytes / minimumRate, deadline);
  }

  hold(): (failure?: Failure) => void {
    this.#holds++;
    let held = true;
    return (failure) => {
      if (!held) return;
      held = false;
      this.#bodyFailure ??= failure;
      this.#letGo();
    };
  }

  /** The engine is done with it; a body in the caller's hands may still hold the slot. */
  end(): void {
    this.#detached = true;
    if (this.#holds > 1) this.progress(0);
    this.#letGo();
  }

  /** Ends it early; the first reason counts. */
  stop(failure: Failure): void {
    if (this.ended) return;
    this.ended = failure;
    this.#abort.abort(failure.cause ?? new Error(failure.message));
  }

  expire(): void {
    const late = this.expiresAt >= this.#timing.deadline && !this.#detached;
    this.stop({
      kind: "timeout",
      blame: "server",
      message: late
        ? "no complete answer before the call's deadline"
        : `no answer within ${Math.round(this.elapsed)} ms`,
    });
  }

  #letGo(): void {
    if (--this.#holds > 0) return;
    this.#timing.deadlines.remove(this);
    this.#released(this.server, this.#bodyFailure);
  }
}
