import type { McpServerInput, McpServerPool } from "@davpool/transport-mcp/server-pool";

/** Has the pool consist of the servers that were discovered. Those that stay keep their connections. */
export async function follow(pool: McpServerPool, discovered: readonly McpServerInput[]): Promise<void> {
  const gone = new Set(pool.getServers().map(({ id }) => id));
  for (const server of discovered) if (!gone.delete(server.serverId)) await pool.addServer(server);
  for (const serverId of gone) await pool.removeServer(serverId);
}
