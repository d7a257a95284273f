import type { Pool } from "@davpool/core";
import { Type } from "typebox";
import { connectionsShape, serverShape, serverView } from "./shapes.ts";
import { defineTool, type Tool } from "./tool.ts";

const READ_ONLY = { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false } as const;

export function listServersTool(pool: Pool, prefix: string): Tool {
  return defineTool({
    name: `${prefix}dav_list_servers`,
    pool: pool.name,
    title: "List WebDAV servers",
    description:
      "Lists the servers of the pool with their health and connections, and says which one is preferred now.",
    input: Type.Object(
      { includeHealth: Type.Optional(Type.Boolean({ default: true, description: "Health and connections of each." })) },
      { additionalProperties: false },
    ),
    output: Type.Object({
      servers: Type.Array(serverShape),
      activeServerId: Type.Union([Type.String(), Type.Null()], {
        description: "The active server, or the one that would be preferred now.",
      }),
    }),
    annotations: READ_ONLY,
    run: ({ includeHealth = true }) => ({
      value: {
        servers: pool.list().map((status) => serverView(status, includeHealth)),
        activeServerId: pool.preferredServerId ?? null,
      },
    }),
  });
}

export function poolStatsTool(pool: Pool, prefix: string): Tool {
  const count = Type.Integer();
  return defineTool({
    name: `${prefix}dav_pool_stats`,
    pool: pool.name,
    title: "Statistics of the WebDAV pool",
    description:
      "Counts servers, connections and calls. Calls are counted once, however many attempts they took; degraded servers count as healthy, because they take requests.",
    input: Type.Object({}, { additionalProperties: false }),
    output: Type.Object({
      totalServers: count,
      healthyServers: count,
      unhealthyServers: count,
      totalConnections: connectionsShape,
      requestStats: Type.Object({ total: count, successful: count, failed: count, failoverCount: count }),
      averageResponseTime: Type.Number({ description: "Milliseconds, over all successful calls." }),
    }),
    annotations: READ_ONLY,
    run: () => ({ value: { ...pool.stats() } }),
  });
}
