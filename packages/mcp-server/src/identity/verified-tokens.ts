import type { Clock } from "@davpool/core";
import type { Principal } from "./principal.ts";

/** Milliseconds for which a token is not checked again: how long a withdrawn key may still count. */
const KEEP = 5 * 60_000;
const MOST_TOKENS = 10_000;

/** What is known of a token that was good. */
export interface Verified {
  readonly principal: Principal;
  /** Scopes that it would need and does not have, if it lacks any. */
  readonly lacking?: readonly string[];
}

interface Entry extends Verified {
  /** On the clock's monotonic scale. */
  readonly until: number;
}

/** Tokens that were good lately, by their hash, so that a signature is not verified again with each request. */
export class VerifiedTokens {
  readonly #clock: Clock;
  /** The one used last stands last. */
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  find(key: string): Verified | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    if (this.#clock.now() >= entry.until || expired(entry.principal, this.#clock)) return undefined;
    this.#entries.set(key, entry);
    return entry;
  }

  keep(key: string, { principal, lacking }: Verified): void {
    this.#entries.set(key, { principal, ...(lacking && { lacking }), until: this.#clock.now() + KEEP });
    if (this.#entries.size <= MOST_TOKENS) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }
}

/** By the calendar, which goes on while a machine sleeps. */
export function expired({ expiresAt }: { readonly expiresAt?: number }, clock: Clock): boolean {
  return expiresAt !== undefined && clock.wall().getTime() >= expiresAt;
}
