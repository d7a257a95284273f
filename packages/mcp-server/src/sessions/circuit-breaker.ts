import { DavpoolError, isDavpoolError, type Clock } from "@davpool/core";

/** Failures in a row after which a caller's calls are refused. */
const FAILURES = 5;
/** Milliseconds until the next one is let through, to see. */
const PAUSE = 10_000;
/** Callers that are remembered; only those with failures are. */
const CAPACITY = 10_000;

/** `CALLS_SUSPENDED`: this caller's calls keep running out of time, so they are refused for a while. */
export class CallsSuspendedError extends DavpoolError {
  constructor(wait: number) {
    const seconds = Math.ceil(wait / 1_000);
    super(
      "CALLS_SUSPENDED",
      `Your last ${FAILURES} calls ran out of time, so new ones are refused for ${seconds} s. Ask for less at a time, then try again.`,
      { details: { retryAfter: seconds } },
    );
  }
}

interface Circuit {
  failures: number;
  /** On the clock's scale; calls are refused before. */
  opensAt: number;
}

/**
 * Stops callers whose calls run out of time, one after another, from taking the slots of those whose calls do not. It
 * counts by principal; calls of nobody in particular are not counted. What one server does is the pool's affair.
 */
export class CircuitBreaker {
  readonly #clock: Clock;
  readonly #circuits = new Map<string, Circuit>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws CallsSuspendedError */
  enter(principal: string | undefined): void {
    const circuit = principal === undefined ? undefined : this.#circuits.get(principal);
    if (!circuit || circuit.failures < FAILURES) return;
    const wait = circuit.opensAt - this.#clock.now();
    if (wait > 0) throw new CallsSuspendedError(wait);
    // This one is let through; others wait for what comes of it.
    circuit.opensAt = this.#clock.now() + PAUSE;
  }

  /** @param error what the call ended with, if it failed. */
  ended(principal: string | undefined, error: unknown): void {
    if (principal === undefined || error instanceof CallsSuspendedError) return;
    if (!ranOutOfTime(error)) {
      this.#circuits.delete(principal);
      return;
    }
    const circuit = this.#circuits.get(principal) ?? { failures: 0, opensAt: 0 };
    circuit.failures++;
    circuit.opensAt = this.#clock.now() + PAUSE;
    this.#circuits.delete(principal);
    this.#circuits.set(principal, circuit);
    if (this.#circuits.size > CAPACITY) this.#circuits.delete(this.#circuits.keys().next().value as string);
  }
}

function ranOutOfTime(error: unknown): boolean {
  return isDavpoolError(error) && error.code === "DEADLINE_EXCEEDED";
}
