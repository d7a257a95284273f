import type { MaybePromise } from "./wire.ts";

/**
 * Remembers which server owns a lock token or entity tag.
 *
 * A live key keeps its owner: what another server answers never takes it over. Entity tags may be forgotten at any time;
 * a lock is kept until it expires or is released.
 */
export interface AffinityStore {
  /** The id of the owner; undefined where nobody is known to own the key. */
  get(key: string): MaybePromise<string | undefined>;
  /** Does nothing where another server owns the key. The same owner may set it again, with a new time. */
  set(key: string, ownership: Ownership): MaybePromise<void>;
  /** Forgets a key, if `serverId` owns it. */
  delete(key: string, serverId: string): MaybePromise<void>;
  /** Forgets everything that a server owned, because it left the pool; returns the keys, as far as they are known. */
  forget?(serverId: string): MaybePromise<readonly string[]>;
}

export interface Ownership {
  readonly serverId: string;
  /** A lock is never forgotten before its time; a tag may be. */
  readonly kind: "lock" | "tag";
  /** Milliseconds after which the key means nothing any more. Default: no limit. */
  readonly ttl?: number;
}

/** What a response teaches: who gave it owns `learn`, or `forget` is owned by nobody any more. */
export type AffinityChange =
  | { readonly learn: string; readonly kind: Ownership["kind"]; readonly ttl?: number }
  | { readonly forget: string };
