import type { ActiveFault } from "./fault.ts";
import { Turns } from "./turns.ts";
import type { FaultTurns } from "./turns.ts";
import { Changes } from "../waiting.ts";

/** A fault that is on until it is switched off. */
export class SwitchedFault<F extends object> implements ActiveFault<F> {
  readonly fault: F;
  readonly #turns: Turns;
  readonly #changes = new Changes();
  readonly #off = new AbortController();
  readonly #release: (switched: SwitchedFault<F>) => Promise<void>;
  #released: Promise<void> | undefined;

  /** `release` ends what the fault holds; it is called once. */
  constructor(fault: F & FaultTurns, release: (switched: SwitchedFault<F>) => Promise<void>) {
    this.fault = fault;
    this.#turns = new Turns(fault);
    this.#release = release;
  }

  get hits(): number {
    return this.#turns.taken;
  }

  /** Aborted when the fault is switched off. */
  get signal(): AbortSignal {
    return this.#off.signal;
  }

  /** Whether what comes next is met; if so, it is counted. */
  meet(): boolean {
    const met = this.#turns.take();
    if (met) this.#changes.notify();
    return met;
  }

  async met(count = 1): Promise<void> {
    await this.#changes.until(() => (this.hits >= count ? true : undefined));
  }

  off(): Promise<void> {
    this.#off.abort();
    this.#released ??= this.#release(this);
    return this.#released;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.off();
  }
}
