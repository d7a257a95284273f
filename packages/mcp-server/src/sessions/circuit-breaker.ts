import { DavpoolError, isDavpoolError, version, type Clock } from "@davpool/core";
import { metrics } from "@opentelemetry/api";

/** Circuits that are remembered; only those with failures are. */
const CAPACITY = 10_000;

/** When a caller's calls of a pool are refused, and for how long. */
export interface CircuitSettings {
  /** Calls in a row that ran out of time. */
  readonly failures: number;
  /** Milliseconds until the next one is let through, to see. */
  readonly pause: number;
}

/** `CALLS_SUSPENDED`: this caller's calls of the pool keep running out of time, so they are refused for a while. */
export class CallsSuspendedError extends DavpoolError {
  constructor(pool: string, failures: number, wait: number) {
    const seconds = Math.ceil(wait / 1_000);
    super(
      "CALLS_SUSPENDED",
      `Your last ${failures} calls of the pool "${pool}" ran out of time, so new ones are refused for ${seconds} s. Ask for less at a time, then try again. Other pools, and the tools that show and change servers, are not concerned.`,
      { details: { pool, retryAfter: seconds } },
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
 * counts by principal and pool; calls of nobody in particular are not counted. What one server does is the pool's affair.
 */
export class CircuitBreaker {
  readonly #settings: CircuitSettings;
  readonly #clock: Clock;
  readonly #circuits = new Map<string, Circuit>();
  readonly #events = metrics.getMeter("@davpool/mcp-server", version).createCounter("davpool.circuit", {
    description: "Circuits of callers: opened, and calls refused by an open one.",
  });

  constructor(settings: CircuitSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
  }

  /** @throws CallsSuspendedError */
  enter(principal: string | undefined, pool: string): void {
    const circuit = principal === undefined ? undefined : this.#circuits.get(keyOf(principal, pool));
    const { failures, pause } = this.#settings;
    if (!circuit || circuit.failures < failures) return;
    const wait = circuit.opensAt - this.#clock.now();
    if (wait > 0) {
      this.#count("refused", pool);
      throw new CallsSuspendedError(pool, failures, wait);
    }
    // This one is let through; others wait for what comes of it.
    circuit.opensAt = this.#clock.now() + pause;
  }

  /** @param error what the call ended with, if it failed. */
  ended(principal: string | undefined, pool: string, error: unknown): void {
    if (principal === undefined || error instanceof CallsSuspendedError) return;
    const key = keyOf(principal, pool);
    if (!ranOutOfTime(error)) {
      this.#circuits.delete(key);
      return;
    }
    const circuit = this.#circuits.get(key) ?? { failures: 0, opensAt: 0 };
    circuit.failures++;
    if (circuit.failures === this.#settings.failures) this.#count("opened", pool);
    circuit.opensAt = this.#clock.now() + this.#settings.pause;
    this.#circuits.delete(key);
    this.#circuits.set(key, circuit);
    if (this.#circuits.size > CAPACITY) this.#circuits.delete(this.#circuits.keys().next().value as string);
  }

  #count(event: "opened" | "refused", pool: string): void {
    this.#events.add(1, { "davpool.pool": pool, "davpool.circuit.event": event });
  }
}

function keyOf(principal: string, pool: string): string {
  return JSON.stringify([principal, pool]);
}

/** The call's time was up, or that of its last attempt, whatever may have become of the request. */
function ranOutOfTime(error: unknown): boolean {
  if (!isDavpoolError(error)) return false;
  const { attempts } = error.details as { readonly attempts?: readonly { readonly failure?: unknown }[] };
  return error.code === "DEADLINE_EXCEEDED" || attempts?.at(-1)?.failure === "timeout";
}
