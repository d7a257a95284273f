import type { MaybePromise } from "./wire.ts";

/** Remembers which server owns a lock token or entity tag. Bounded; an entry may be forgotten at any time. */
export interface AffinityStore {
  get(key: string): MaybePromise<string | undefined>;
  /** @param ttl milliseconds after which the entry means nothing any more. */
  set(key: string, serverId: string, ttl?: number): MaybePromise<void>;
  delete(key: string): MaybePromise<void>;
  /** Forgets everything that a server owned, because it left the pool; returns the keys, as far as they are known. */
  forget?(serverId: string): MaybePromise<readonly string[]>;
}

export type AffinityChange = { readonly learn: string; readonly ttl?: number } | { readonly forget: string };
