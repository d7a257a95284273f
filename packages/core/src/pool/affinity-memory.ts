import type { AffinityStore } from "../contracts/affinity-store.ts";
import type { Clock } from "../contracts/clock.ts";
import { definePlugin } from "../plugin/define-plugin.ts";

/** Entries kept; the one that was learned first makes room. */
const CAPACITY = 10_000;

/** Remembers owners of locks and entity tags in this process. */
export function memoryAffinity(clock: Clock, capacity: number = CAPACITY): AffinityStore {
  const owners = new Map<string, { readonly serverId: string; readonly expires: number }>();
  return {
    get(key) {
      const owner = owners.get(key);
      if (owner && owner.expires > clock.now()) return owner.serverId;
      owners.delete(key);
      return undefined;
    },
    set(key, serverId, ttl = Infinity) {
      owners.delete(key);
      owners.set(key, { serverId, expires: clock.now() + ttl });
      if (owners.size > capacity) owners.delete(owners.keys().next().value as string);
    },
    delete(key) {
      owners.delete(key);
    },
    forget(serverId) {
      const now = clock.now();
      const lost: string[] = [];
      for (const [key, owner] of owners) {
        if (owner.serverId !== serverId) continue;
        owners.delete(key);
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
