import { isDeepStrictEqual } from "node:util";
import type { McpServerInput, McpServerPool } from "@davpool/transport-mcp/server-pool";

/** What each pool was led to before, by server id. */
const followed = new WeakMap<McpServerPool, Map<string, McpServerInput>>();

/**
 * Has the pool consist of the servers that were discovered. Those that stay as they are keep their connections; one whose
 * address or settings have changed is replaced.
 * @throws AggregateError with what is wrong with single servers, once all others are as they should be.
 */
export async function follow(pool: McpServerPool, discovered: readonly McpServerInput[]): Promise<void> {
  const before = followed.get(pool) ?? new Map<string, McpServerInput>();
  followed.set(pool, before);
  const present = new Set(pool.getServers().map(({ id }) => id));
  const wanted = new Set(discovered.map(({ serverId }) => serverId));
  const errors: unknown[] = [];
  for (const server of discovered) {
    const { serverId } = server;
    const former = before.get(serverId);
    const known = present.has(serverId);
    if (known && (former === undefined || isDeepStrictEqual(former, server))) {
      before.set(serverId, server);
      continue;
    }
    try {
      if (known) await pool.removeServer(serverId);
      await pool.addServer(server);
      before.set(serverId, server);
    } catch (error) {
      errors.push(error);
      // One that cannot be had in its new form stays in its old one.
      if (known && former) await pool.addServer(former);
    }
  }
  for (const serverId of present) {
    if (wanted.has(serverId)) continue;
    await pool.removeServer(serverId);
    before.delete(serverId);
  }
  if (errors.length > 0) throw new AggregateError(errors, "Some of the servers that were discovered cannot be used.");
}
