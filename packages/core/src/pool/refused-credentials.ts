import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../contracts/clock.ts";
import type { Credentials } from "../contracts/credential-source.ts";
import { CredentialsRefusedError } from "../errors/server-errors.ts";

/** Milliseconds until credentials that were refused are tried again; doubles each time that they are refused again. */
const FIRST_PAUSE = 120_000;
const LONGEST_PAUSE = 3_600_000;
/** Partitions that are remembered at a time. */
const MOST = 1_000;

interface Refusal {
  readonly credentials: Credentials | undefined;
  readonly pause: number;
  /** On the clock's scale. */
  readonly until: number;
}

/**
 * Credentials that a server has refused, by partition. They are not sent again until they have changed or a pause is over:
 * many servers lock an account that somebody keeps knocking with.
 */
export class RefusedCredentials {
  readonly #serverId: string;
  readonly #clock: Clock;
  readonly #refusals = new Map<string, Refusal>();
  /** With which the connection of a partition was opened. */
  readonly #used = new Map<string, Credentials | undefined>();

  constructor(serverId: string, clock: Clock) {
    this.#serverId = serverId;
    this.#clock = clock;
  }

  /**
   * A connection is about to be opened with these.
   * @throws CredentialsRefusedError where the same were refused, and not long ago.
   */
  admit(key: string, credentials: Credentials | undefined): void {
    const refusal = this.#refusals.get(key);
    if (refusal && this.#clock.now() < refusal.until && isDeepStrictEqual(refusal.credentials, credentials))
      throw new CredentialsRefusedError(this.#serverId);
    bounded(this.#used, key, credentials);
  }

  /** The server refused those that the partition's connection was opened with. */
  refused(key: string): void {
    const before = this.#refusals.get(key);
    const credentials = this.#used.get(key);
    const same = before && isDeepStrictEqual(before.credentials, credentials);
    const pause = same ? Math.min(before.pause * 2, LONGEST_PAUSE) : FIRST_PAUSE;
    bounded(this.#refusals, key, { credentials, pause, until: this.#clock.now() + pause });
  }

  /** They were refused when they were sent last. */
  has(key: string): boolean {
    return this.#refusals.has(key);
  }

  /** The server took them. */
  accepted(key: string): void {
    if (this.#refusals.size > 0) this.#refusals.delete(key);
  }

  /** The server's profile has changed. */
  clear(): void {
    this.#refusals.clear();
    this.#used.clear();
  }
}

function bounded<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > MOST) map.delete(map.keys().next().value as string);
}
