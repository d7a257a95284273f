import type { Attempt, Connection } from "../contracts/connection.ts";
import type { Failure } from "../contracts/failure.ts";
import type { Caller, Wire } from "../contracts/wire.ts";
import type { Clock } from "../contracts/clock.ts";
import type { Evidence } from "../health/suspicion.ts";
import type { Deadlines, Timed } from "../time/deadlines.ts";
import type { Connections, KeptConnection } from "./connections.ts";
import type { Server } from "./server.ts";

/** What an attempt needs of its call and its pool. */
export interface AttemptParts<W extends Wire> {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  /** Milliseconds this attempt may take without progress. */
  readonly timeout: number;
  /** The same from the moment in which something was sent: longer when no other server may be asked any more. */
  readonly timeoutOnceSent: number;
  /** The call's deadline on the clock's scale. */
  readonly deadline: number;
  /** Bytes per millisecond. */
  readonly minimumRate: number;
  /** The caller's. */
  readonly signal: AbortSignal | undefined;
  readonly streamed: boolean;
  /** The pool chose the server; nobody named it, and no lock did. */
  readonly chosen: boolean;
  /** The part of the server that is asked, in the transport's words. */
  readonly resource: string | undefined;
  /** Asks the call for one more request on this attempt's server. */
  readonly resume: (attempt: RunningAttempt<W>, failure: Failure) => boolean;
  /** Told when it gives its slot back for a while. */
  readonly slotFreed: () => void;
  /** Told once, when the slot is free again. */
  readonly ended: (attempt: RunningAttempt<W>) => void;
}

/** One attempt in flight. It holds its server's slot until it has ended and nobody holds it any more. */
export class RunningAttempt<W extends Wire> implements Attempt, Timed, Evidence {
  readonly server: Server<W>;
  /** The connections the server had when it began; they stay open until it has ended. */
  readonly connections: Connections<W>;
  readonly ordinal: number;
  readonly caller: Caller;
  /** It tries whether an ejected server has recovered. */
  readonly trial: boolean;
  readonly startedAt: number;
  expiresAt: number;
  /** Why the engine ended it, when it did. */
  ended: Failure | undefined;
  /** What went wrong, as far as it is known. */
  failure: Failure | undefined;
  /** The code with which the server said no, where that counts when it repeats. */
  rejection: string | number | undefined;
  /** Milliseconds to the answer's headers or to the failure. */
  latency = 0;
  wasSent = false;
  /**
   * A request that changes something has been answered. That counts, whole or not: when time is up, whoever reads the
   * answer may still make something of what has come.
   */
  answered = false;
  /** Another attempt of the same call gave the answer. */
  superseded = false;
  readonly #parts: AttemptParts<W>;
  readonly #abort = new AbortController();
  readonly #cancel: (() => void) | undefined;
  #kept: KeptConnection<W> | undefined;
  #interrupt: ((reason: unknown) => void) | undefined;
  /** The engine's own, and one for each body that still flows. */
  #holds = 1;
  #handedOver = false;
  /** Under way, of those that {@link wait} began. */
  #waits = 0;
  /** When they began, on the clock's scale, and the time that was left then. */
  #waitingSince = 0;
  #left = 0;
  /** Milliseconds that waits have taken, up to the one that is under way. */
  #waited = 0;
  #released = false;
  #bodyFailure: Failure | undefined;

  constructor(server: Server<W>, ordinal: number, caller: Caller, trial: boolean, parts: AttemptParts<W>) {
    this.server = server;
    this.connections = server.connections;
    this.connections.enter();
    this.ordinal = ordinal;
    this.caller = caller;
    this.trial = trial;
    this.#parts = parts;
    this.startedAt = parts.clock.now();
    this.expiresAt = Math.min(this.startedAt + parts.timeout, parts.deadline);
    parts.deadlines.add(this);
    const { signal } = parts;
    if (!signal) return;
    this.#cancel = () =>
      this.stop({ kind: "cancelled", blame: "caller", message: "the caller went away", cause: signal.reason });
    signal.addEventListener("abort", this.#cancel, { once: true });
    if (signal.aborted) this.#cancel();
  }

  get serverId(): string {
    return this.server.serverId;
  }
  get signal(): AbortSignal {
    return this.#abort.signal;
  }
  get elapsed(): number {
    const { clock } = this.#parts;
    return (this.#waits > 0 ? this.#waitingSince : clock.now()) - this.startedAt - this.#waited;
  }
  /** The connection that it uses, once it has asked for one. */
  get kept(): KeptConnection<W> | undefined {
    return this.#kept;
  }
  get resource(): string | undefined {
    return this.#parts.resource;
  }
  get principal(): string | undefined {
    return this.caller.principal;
  }
  get pinned(): boolean {
    return !this.#parts.chosen;
  }
  /** Its server waits for the caller. */
  get waiting(): boolean {
    return this.#waits > 0;
  }

  /** Its caller's connection, which stays open until it has ended. */
  connection(): Connection<W> | Promise<Connection<W>> {
    this.#kept ??= this.connections.take(this.server.partition(this.caller), this.#parts.chosen);
    return this.#kept.connection;
  }

  /** Settles with `work`, or at once when the engine ends the attempt: what ignores the signal is left behind. */
  whileRunning<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#interrupt = reject;
      // It may have been ended while `work` began.
      if (this.ended) reject(this.signal.reason as Error);
      work.then(resolve, reject);
    });
  }

  sent(): void {
    if (this.wasSent) return;
    this.wasSent = true;
    const { timeoutOnceSent, deadline } = this.#parts;
    const until = Math.min(this.startedAt + this.#waited + timeoutOnceSent, deadline);
    if (this.waiting) this.#left = until - this.#waitingSince;
    else this.expiresAt = until;
  }

  progress(bytes: number): void {
    const { clock, timeoutOnceSent, deadline, minimumRate } = this.#parts;
    // While time stands still there is none to gain.
    if (this.waiting) return;
    const now = clock.now();
    if (this.#handedOver) {
      this.expiresAt = now + this.server.profile.timeout;
      return;
    }
    // Every byte buys the time it may take at the minimum rate, but no burst buys more than one timeout: what stalls
    // after it is cut like anything else.
    const bought = Math.min(this.expiresAt + bytes / minimumRate, now + timeoutOnceSent);
    this.expiresAt = Math.min(Math.max(this.expiresAt, bought), deadline);
  }

  wait(): Disposable {
    if (this.#waits++ === 0) {
      this.#waitingSince = this.#parts.clock.now();
      this.#left = this.expiresAt - this.#waitingSince;
      this.expiresAt = this.#handedOver ? Infinity : this.#parts.deadline;
      if (!this.#released) {
        this.server.suspend(this.principal);
        this.#parts.slotFreed();
      }
    }
    let under = true;
    return {
      [Symbol.dispose]: () => {
        if (under && --this.#waits === 0) this.#goOn();
        under = false;
      },
    };
  }

  /** Time runs again, as much of it as was left. */
  #goOn(): void {
    const { clock, deadline } = this.#parts;
    const now = clock.now();
    this.#waited += now - this.#waitingSince;
    if (!this.#released) this.server.goOn(this.principal);
    this.expiresAt = this.#handedOver ? now + this.#left : Math.min(now + this.#left, deadline);
  }

  hold(): (failure?: Failure) => void {
    this.#holds++;
    let held = true;
    return (failure) => {
      if (!held) return;
      held = false;
      this.#bodyFailure ??= failure;
      if (--this.#holds === 0) this.#release();
    };
  }

  get streamed(): boolean {
    return this.#parts.streamed;
  }

  resume(failure: Failure): boolean {
    return !this.ended && !this.#released && this.#parts.resume(this, failure);
  }

  /** The engine is done with it; a body in the caller's hands may still hold the slot. */
  end(): void {
    if (this.ended || --this.#holds === 0) {
      this.#release();
      return;
    }
    // From now on the body may only not stand still: its reader has as long as it likes.
    this.#handedOver = true;
    this.progress(0);
  }

  /** Ends it early; the first reason counts. */
  stop(failure: Failure): void {
    if (this.ended || this.#released) return;
    this.ended = failure;
    const reason = failure.cause ?? new Error(failure.message);
    this.#abort.abort(reason);
    if (this.answered && failure.blame !== "caller") setImmediate(() => this.#interrupt?.(reason));
    else this.#interrupt?.(reason);
    if (this.#handedOver) this.#release();
  }

  /** Another attempt of the same call gave the answer first. */
  supersede(): void {
    this.superseded = true;
    this.stop({ kind: "cancelled", blame: "request", message: "another server answered first" });
  }

  expire(): void {
    const waited = Math.round(this.elapsed);
    if (this.#handedOver) {
      // The reader may have stopped reading, so the server is not to blame.
      const message = `the body stood still for ${this.server.profile.timeout} ms`;
      this.stop({ kind: "timeout", blame: "request", message });
      return;
    }
    const message =
      this.expiresAt >= this.#parts.deadline
        ? "no complete answer before the call's deadline"
        : `no ${this.wasSent ? "complete answer" : "connection"} within ${waited} ms`;
    this.stop({ kind: "timeout", blame: "server", message });
  }

  close(reason: Error): void {
    this.stop({ kind: "cancelled", blame: "request", message: "the pool was closed", cause: reason });
  }

  #release(): void {
    if (this.#released) return;
    this.#released = true;
    if (this.waiting) this.server.goOn(this.principal);
    const { deadlines, signal, ended } = this.#parts;
    deadlines.remove(this);
    if (this.#cancel) signal?.removeEventListener("abort", this.#cancel);
    // What the transport makes of an abort is less than what the engine knows about it.
    this.failure ??= this.ended ?? this.#bodyFailure;
    if (this.#kept) this.connections.giveBack(this.#kept);
    this.connections.leave();
    ended(this);
  }
}
