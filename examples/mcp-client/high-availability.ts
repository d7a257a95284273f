import type { McpServerInput, McpServerPoolOptions } from "@davpool/transport-mcp/server-pool";

/** What each region is good for. 1 is the highest priority. */
const REGIONS = {
  "us-west-1": { priority: 1, weight: 100 },
  // Its neighbour.
  "us-west-2": { priority: 2, weight: 100 },
  // Across the country.
  "us-east-1": { priority: 6, weight: 50 },
  // Across the sea.
  "eu-west-1": { priority: 10, weight: 25 },
} as const;

type Region = keyof typeof REGIONS;

/*
 * A pool that must be there: servers in several regions, the nearest one first, and the next as soon as it fails.
 */
export function highAvailability(addresses: Readonly<Record<Region, string>>): McpServerPoolOptions {
  return {
    servers: Object.entries(REGIONS).map(([serverId, region]): McpServerInput => ({
      serverId,
      url: addresses[serverId as Region],
      ...region,
    })),
    strategy: "priority",
    healthCheckInterval: 15_000,
    healthCheckTimeout: 5_000,
    offlineThreshold: 2,
    reconnectDelay: 60_000,
  };
}
