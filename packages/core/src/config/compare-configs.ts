import { isDeepStrictEqual } from "node:util";
import type { AnyPlugin } from "../plugin/define-plugin.ts";
import type { PluginUse, ResolvedConfig, ResolvedPool } from "./resolve-config.ts";

/** Names of the pools that another configuration changes. */
export interface PoolChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Settings changed, so that a new engine took the old one's place. */
  readonly replaced: readonly string[];
  /** Only servers came, went or changed. */
  readonly updated: readonly string[];
}

/** What becomes of the pools when one configuration follows another. */
export function comparePools(before: ResolvedConfig | undefined, after: ResolvedConfig): PoolChanges {
  const former = new Map(before?.pools.map((pool) => [pool.name, pool]));
  const common = before !== undefined && sameServices(before, after) && sameAggregators(before, after);
  const changes = { added: [] as string[], removed: [] as string[], replaced: [] as string[], updated: [] as string[] };
  for (const pool of after.pools) {
    const known = former.get(pool.name);
    former.delete(pool.name);
    if (!known) changes.added.push(pool.name);
    else if (!common || !sameSettings(known, pool) || !keepsOrder(known, pool)) changes.replaced.push(pool.name);
    else if (!isDeepStrictEqual(known.servers, pool.servers)) changes.updated.push(pool.name);
  }
  changes.removed.push(...former.keys());
  return changes;
}

/** Whether what lies below all pools is the same. */
export function sameServices(before: ResolvedConfig, after: ResolvedConfig): boolean {
  const { allowHosts, allowCleartext } = before.security;
  return (
    before.baseDirectory === after.baseDirectory &&
    isDeepStrictEqual(allowHosts, after.security.allowHosts) &&
    allowCleartext === after.security.allowCleartext &&
    before.services.length === after.services.length &&
    before.services.every((use, index) => sameUse(use, after.services[index] as PluginUse))
  );
}

/** A plugin that was defined anew is another one, however much it looks the same: its functions may know other things. */
export function sameUse(one: PluginUse, other: PluginUse): boolean {
  return one.plugin === other.plugin && isDeepStrictEqual(one.options, other.options);
}

function sameAggregators(before: ResolvedConfig, after: ResolvedConfig): boolean {
  const list = (config: ResolvedConfig): readonly AnyPlugin[] => config.registry.list("aggregator");
  const others = list(after);
  return list(before).length === others.length && list(before).every((plugin, index) => plugin === others[index]);
}

/** Everything but the servers. Functions are compared by identity, so plugins are the same only if they are the same value. */
function sameSettings(one: ResolvedPool, other: ResolvedPool): boolean {
  return isDeepStrictEqual({ ...one, servers: [] }, { ...other, servers: [] });
}

/** Whether changing the servers in place gives the declared order, which says who comes first: new ones join at the end. */
function keepsOrder(before: ResolvedPool, after: ResolvedPool): boolean {
  const ids = after.servers.map((server) => server.serverId);
  const known = before.servers.map((server) => server.serverId);
  const stay = known.filter((serverId) => ids.includes(serverId));
  return stay.every((serverId, index) => ids[index] === serverId);
}
