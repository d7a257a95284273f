/** How often a fault acts on what it could act on: requests of a server, connections of a proxy. */
export interface FaultTurns {
  /** Acts that many times and then no more. Default: no limit. */
  readonly times?: number;
  /** Alternates by count, beginning with failures: `fail` are met, then `answer` go unharmed, and so on. Default: all are met. */
  readonly flapping?: { readonly fail: number; readonly answer: number };
}

/** Counts whose turn it is. */
export class Turns {
  readonly #times: number;
  readonly #flapping: FaultTurns["flapping"];
  #seen = 0;
  #taken = 0;

  constructor({ times = Infinity, flapping }: FaultTurns) {
    this.#times = times;
    this.#flapping = flapping;
  }

  /** Turns that were the fault's. */
  get taken(): number {
    return this.#taken;
  }

  /** Whether the next turn is the fault's. */
  take(): boolean {
    if (this.#taken >= this.#times) return false;
    if (this.#flapping !== undefined) {
      const { fail, answer } = this.#flapping;
      const position = this.#seen % (fail + answer);
      this.#seen += 1;
      if (position >= fail) return false;
    }
    this.#taken += 1;
    return true;
  }
}
