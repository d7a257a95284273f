import type { Clock } from "@davpool/core";
import type { PriorDiscovery } from "@modelcontextprotocol/client";

/**
 * Remembers which generation of the protocol each server speaks, so that a new session need not find it out. A server of
 * the older one may be replaced by a newer program any day: that verdict is believed for a limited time only.
 */
export class Eras {
  readonly #clock: Clock;
  /** Milliseconds. */
  readonly #legacyFor: number;
  readonly #known = new Map<string, { readonly verdict: PriorDiscovery; readonly until: number }>();

  /** Until when each is believed to speak the newer era only. */
  readonly #modernOnly = new Map<string, number>();

  constructor(clock: Clock, legacyFor: number) {
    this.#clock = clock;
    this.#legacyFor = legacyFor;
  }

  /** @param server its address, or the command that starts it. */
  known(server: string): PriorDiscovery | undefined {
    const entry = this.#known.get(server);
    if (!entry) return undefined;
    if (this.#clock.now() < entry.until) return entry.verdict;
    this.#known.delete(server);
    return undefined;
  }

  /** True for a server that is known not to speak the older era: it keeps no sessions. */
  modernOnly(server: string): boolean {
    return this.#clock.now() < (this.#modernOnly.get(server) ?? -Infinity);
  }

  /** A server of the newer era did not answer in the older one. It may be another program any day, as well. */
  lacksOlder(server: string): void {
    this.#modernOnly.set(server, this.#clock.now() + this.#legacyFor);
  }

  learn(server: string, verdict: PriorDiscovery): void {
    const former = this.#known.get(server);
    const now = this.#clock.now();
    // What is said again was not found out anew.
    if (verdict.kind === "legacy" && former?.verdict.kind === "legacy" && now < former.until) return;
    this.#known.set(server, { verdict, until: verdict.kind === "legacy" ? now + this.#legacyFor : Infinity });
  }

  forget(server: string): void {
    this.#modernOnly.delete(server);
    this.#known.delete(server);
  }
}
