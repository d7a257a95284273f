import type { McpServerInput, McpServerPoolOptions } from "@davpool/transport-mcp/server-pool";

/*
 * A pool for whoever writes a program: what goes wrong is seen at once, where it went wrong, and soon tried again.
 */
export function development(servers: readonly McpServerInput[]): McpServerPoolOptions {
  return {
    servers,
    strategy: "round-robin",
    healthCheckInterval: 5_000,
    healthCheckTimeout: 2_000,
    // The first failure counts.
    offlineThreshold: 1,
    recoveryThreshold: 1,
    reconnectDelay: 10_000,
    connectTimeout: 5_000,
    // A request stays with the server that it went to, and its error names it.
    failover: false,
    maxRetries: 1,
    deadline: 10_000,
    queue: { taskTimeout: 10_000, maxRetries: 0 },
  };
}
