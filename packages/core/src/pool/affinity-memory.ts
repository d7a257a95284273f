import type { AffinityStore, Ownership } from "../contracts/affinity-store.ts";
import type { Clock } from "../contracts/clock.ts";
import { definePlugin } from "../plugin/define-plugin.ts";

/** How many keys of each kind are kept. */
export interface Capacity {
  readonly locks: number;
  readonly tags: number;
}

const CAPACITY: Capacity = { locks: 100_000, tags: 10_000 };

interface Owner {
  readonly serverId: string;
  /** On the clock's scale. */
  readonly expires: number;
}

/**
 * Remembers owners of locks and entity tags in this process. A new tag makes room by forgetting the oldest one. A lock is
 * never forgotten before it expires, so that reads cannot push it out: when there are too many, new ones are not
 * remembered.
 */
export function memoryAffinity(clock: Clock, capacity: Capacity = CAPACITY): AffinityStore {
  const locks = new Map<string, Owner>();
  const tags = new Map<string, Owner>();
  const tables = [locks, tags] as const;

  const live = (key: string): Owner | undefined => {
    for (const table of tables) {
      const owner = table.get(key);
      if (!owner) continue;
      if (owner.expires > clock.now()) return owner;
      table.delete(key);
    }
    return undefined;
  };

  return {
    get: (key) => live(key)?.serverId,
    set(key, { serverId, kind, ttl = Infinity }: Ownership) {
      const owner = live(key);
      if (owner && owner.serverId !== serverId) return;
      const now = clock.now();
      const table = kind === "lock" ? locks : tags;
      // Last in the order in which tags make room.
      table.delete(key);
      if (kind === "tag") {
        if (tags.size >= capacity.tags) tags.delete(tags.keys().next().value as string);
      } else if (locks.size >= capacity.locks) {
        for (const [other, { expires }] of locks) if (expires <= now) locks.delete(other);
        if (locks.size >= capacity.locks)
          throw new Error(`${capacity.locks} locks are remembered already; the owner of this one is not`);
      }
      table.set(key, { serverId, expires: now + ttl });
    },
    delete(key, serverId) {
      if (live(key)?.serverId !== serverId) return;
      for (const table of tables) table.delete(key);
    },
    forget(serverId) {
      const now = clock.now();
      const lost: string[] = [];
      for (const table of tables)
        for (const [key, owner] of table) {
          if (owner.serverId !== serverId) continue;
          table.delete(key);
          if (owner.expires > now) lost.push(key);
        }
      return lost;
    },
  };
}

export const affinityMemory = definePlugin({
  kind: "affinity",
  name: "memory",
  create: (context) => memoryAffinity(context.clock),
});
