import type { McpServerInput, McpServerPoolOptions } from "@davpool/transport-mcp/server-pool";

/*
 * A pool under load: work goes where the least is, and what fails goes on to the servers in an order that somebody has
 * thought about.
 */
export function production(servers: readonly McpServerInput[]): McpServerPoolOptions {
  return {
    servers,
    strategy: "least-connections",
    healthCheckInterval: 30_000,
    healthCheckTimeout: 10_000,
    offlineThreshold: 3,
    reconnectDelay: 120_000,
    maxConnections: 50,
    connectTimeout: 30_000,
    fallbackOrder: ["primary", "secondary", "backup"],
    maxRetries: 5,
    deadline: 60_000,
    // As many at one time as the servers take together.
    queue: { taskTimeout: 60_000, concurrentTasks: 150 },
  };
}
