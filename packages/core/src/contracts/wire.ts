import type { ServerProfile } from "./server-profile.ts";

/**
 * The types that one transport puts on the wire. Core never looks inside them; it carries them from the caller
 * through policies and engine to the {@link Transport} that declared them.
 *
 * @example
 * ```ts
 * interface WebDavWire extends Wire {
 *   request: WebDavRequest;
 *   response: WebDavResponse;
 *   profile: WebDavProfile;
 * }
 * ```
 */
export interface Wire {
  request: unknown;
  response: unknown;
  profile: ServerProfile;
}

/** On whose behalf a call is made. Both parts are absent for a program that calls a pool directly. */
export interface Caller {
  /** Identity that the hosting layer verified, such as the subject of a token. */
  readonly principal?: string;
  /** The downstream session the call belongs to. */
  readonly session?: string;
}

export type MaybePromise<T> = T | Promise<T>;
