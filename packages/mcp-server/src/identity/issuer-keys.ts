import type { Clock, Log } from "@davpool/core";
import {
  createRemoteJWKSet,
  customFetch,
  errors,
  type FlattenedJWSInput,
  type JWSHeaderParameters,
  type JWTVerifyGetKey,
  type RemoteJWKSetOptions,
} from "jose";
import { findKeys, fetchProblem } from "./issuer-metadata.ts";
import type { OAuthSettings } from "./settings.ts";

/** Milliseconds after which keys are fetched anew, beside the requests. */
const REFRESH = 10 * 60_000;
/** Milliseconds after a fetch in which a key that is not there does not cause another. */
const COOLDOWN = 30_000;
/** Milliseconds that metadata and keys may take together. */
const FETCH_LIMIT = 5_000;
/** Milliseconds between a fetch that failed and the next one. */
export const FAILURE_PAUSE = 2_000;

/** The keys of an issuer are not there, so nothing can be said about its tokens. */
export class KeysUnavailableError extends Error {
  constructor(issuer: string) {
    super(`The keys of ${issuer} cannot be fetched.`);
  }
}

type KeySet = ReturnType<typeof createRemoteJWKSet>;

/**
 * The public keys of an issuer. They are fetched when the first token comes, again every ten minutes, and when a token
 * names a key that is not among them, as after a rotation. Keys once known stay when the issuer cannot be reached.
 */
export class IssuerKeys {
  readonly #settings: OAuthSettings;
  readonly #clock: Clock;
  readonly #log: Log;
  #keys: KeySet | undefined;
  #loading: Promise<void> | undefined;
  /** When the last fetch ended, on the clock's monotonic scale. */
  #triedAt = Number.NEGATIVE_INFINITY;
  #failing = false;

  constructor(settings: OAuthSettings, { clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#settings = settings;
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * The key that a token names.
   * @throws KeysUnavailableError when the issuer cannot be asked, errors of jose when there is no such key.
   */
  readonly find: JWTVerifyGetKey<Awaited<ReturnType<KeySet>>> = async (header, token) => {
    if (!this.#keys) await this.#load();
    // Nobody waits for it: the keys that are known go on working.
    else if (this.#clock.now() - this.#triedAt >= REFRESH || this.#failing) void this.#load();
    try {
      return await this.#among(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
    }
    await this.#load();
    if (this.#failing) throw new KeysUnavailableError(this.#settings.issuer);
    return this.#among(header, token);
  };

  #among(header: JWSHeaderParameters, token: FlattenedJWSInput): ReturnType<KeySet> {
    if (!this.#keys) throw new KeysUnavailableError(this.#settings.issuer);
    return this.#keys(header, token);
  }

  /** Fetches the keys, once for everybody who waits, unless it is too soon. Never rejects. */
  #load(): Promise<void> {
    const rest = this.#failing ? FAILURE_PAUSE : COOLDOWN;
    if (!this.#loading && this.#clock.now() - this.#triedAt < rest) return Promise.resolve();
    this.#loading ??= this.#fetchKeys().finally(() => {
      this.#triedAt = this.#clock.now();
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #fetchKeys(): Promise<void> {
    const { issuer, jwks } = this.#settings;
    const limit = new AbortController();
    const giveUp = () => limit.abort(new Error(`no answer within ${FETCH_LIMIT} ms`));
    const timer = this.#clock.after(FETCH_LIMIT, giveUp, { background: true });
    const { signal } = limit;
    let place = jwks === undefined ? undefined : new URL(jwks);
    try {
      place ??= await findKeys(issuer, (url) =>
        fetch(url, { signal, redirect: "manual", headers: { accept: "application/json" } }),
      );
      const keys = createRemoteJWKSet(place, {
        // When to fetch is decided here, by the injected clock; what is known never runs out.
        cacheMaxAge: Number.POSITIVE_INFINITY,
        cooldownDuration: Number.POSITIVE_INFINITY,
        timeoutDuration: FETCH_LIMIT,
        [customFetch]: (url, options) => fetch(url, { ...options, signal: AbortSignal.any([options.signal, signal]) }),
      } satisfies RemoteJWKSetOptions);
      await keys.reload();
      this.#keys = keys;
      this.#recovered();
    } catch (error) {
      this.#failed(place, error);
    } finally {
      timer[Symbol.dispose]();
    }
  }

  #recovered(): void {
    if (this.#failing) this.#log.info(`The keys of ${this.#settings.issuer} can be fetched again.`);
    this.#failing = false;
  }

  /** Told once for as long as it lasts. */
  #failed(place: URL | undefined, error: unknown): void {
    if (this.#failing) return;
    this.#failing = true;
    const where = place ? ` from ${place.origin}${place.pathname}` : "";
    const consequence = this.#keys
      ? "Keys already known go on working; tokens with others are answered 503 until it works again."
      : "Its tokens are answered 503 until it works.";
    this.#log.warn(
      `The keys of ${this.#settings.issuer} cannot be fetched${where}: ${fetchProblem(error)}. ${consequence}`,
    );
  }
}
