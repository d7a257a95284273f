/** Whom and what a failure of a request speaks about, as far as is known. */
export interface Evidence {
  /** The part of the server that was asked; undefined where the transport tells no parts apart. */
  readonly resource: string | undefined;
  /** Who asked; undefined where callers are not told apart. */
  readonly principal: string | undefined;
  /** The caller named the server, which the server is not to suffer for. */
  readonly pinned: boolean;
}

/** Parts of a server that are watched at a time, of all principals together. */
const MOST = 1_000;
/** How long a part may be avoided, as a multiple of the configured time. */
const LONGEST = 10;

export interface SuspicionSettings {
  /** Failures in a row after which a part is avoided. */
  readonly failures: number;
  /** Milliseconds a part is avoided at first. */
  readonly ejection: number;
}

interface Trouble {
  failures: number;
  /** On the clock's scale; 0 while it is not avoided. */
  until: number;
}

/**
 * Tells failures of requests from failures of a server. One failing mount, or one caller who provokes errors, says nothing
 * about the rest: that part is avoided for that caller. Only failures of several parts, asked for by several callers where
 * callers are known, speak about the server.
 */
export class Suspicion {
  readonly #settings: SuspicionSettings;
  readonly #now: () => number;
  /** Since the last success. */
  readonly #resources = new Set<string>();
  readonly #principals = new Set<string>();
  #anonymous = false;
  #whole = false;
  readonly #troubles = new Map<string, Trouble>();

  constructor(settings: SuspicionSettings, now: () => number) {
    this.#settings = settings;
    this.#now = now;
  }

  /** A request failed. */
  failed({ resource, principal, pinned }: Evidence): void {
    if (pinned) return;
    if (resource === undefined) this.#whole = true;
    else if (this.#resources.size < 2) this.#resources.add(resource);
    if (principal === undefined) this.#anonymous = true;
    else if (this.#principals.size < 2) this.#principals.add(principal);
    if (resource === undefined && principal === undefined) return;
    const key = keyOf(principal, resource);
    const trouble = this.#troubles.get(key) ?? { failures: 0, until: 0 };
    trouble.failures++;
    const { failures, ejection } = this.#settings;
    if (trouble.failures >= failures) {
      const times = Math.min(trouble.failures - failures + 1, LONGEST);
      trouble.until = this.#now() + ejection * times;
    }
    this.#troubles.delete(key);
    this.#troubles.set(key, trouble);
    if (this.#troubles.size > MOST) this.#troubles.delete(this.#troubles.keys().next().value as string);
  }

  /** A request succeeded: the server works, and so does what was asked for. */
  succeeded(evidence: Evidence | undefined): void {
    this.clear();
    if (evidence && this.#troubles.size > 0) this.#troubles.delete(keyOf(evidence.principal, evidence.resource));
  }

  /** What failed so far says nothing about what comes. */
  clear(): void {
    this.#resources.clear();
    this.#principals.clear();
    this.#anonymous = false;
    this.#whole = false;
  }

  /** The failures since the last success speak about the server as a whole. */
  get general(): boolean {
    return (this.#whole || this.#resources.size > 1) && (this.#anonymous || this.#principals.size > 1);
  }

  /** The server should not be asked for this now, as long as another one can be. */
  avoids(principal: string | undefined, resource: string | undefined): boolean {
    if (this.#troubles.size === 0) return false;
    const trouble = this.#troubles.get(keyOf(principal, resource));
    return trouble !== undefined && this.#now() < trouble.until;
  }
}

function keyOf(principal: string | undefined, resource: string | undefined): string {
  return JSON.stringify([principal ?? null, resource ?? null]);
}
