import { Type } from "typebox";
import type { ServerStatus } from "@davpool/core";

/** Shapes that several tools share: seed fields, units and names. */
export const serverIdInput = (description: string) => Type.String({ minLength: 1, maxLength: 128, description });

const connectionsShape = Type.Object({
  active: Type.Integer({ description: "Sockets that carry a request now." }),
  idle: Type.Integer({ description: "Open sockets that carry none." }),
  max: Type.Integer({ description: "The most sockets there may be." }),
});

const healthShape = Type.Object({
  status: Type.Enum(["healthy", "degraded", "unhealthy"]),
  lastCheck: Type.Optional(Type.String({ format: "date-time", description: "Absent before the first check." })),
  responseTime: Type.Optional(Type.Number({ description: "Milliseconds." })),
  uptime: Type.Number({ description: "Percentage of the last 24 hours spent not unhealthy." }),
  consecutiveFailures: Type.Integer(),
  consecutiveSuccesses: Type.Integer(),
});

export const serverShape = Type.Object({
  serverId: Type.String(),
  url: Type.String(),
  priority: Type.Integer({ description: "1 is the highest." }),
  group: Type.Optional(Type.String()),
  enabled: Type.Boolean(),
  override: Type.Optional(
    Type.Object(
      { enabled: Type.Boolean(), by: Type.Optional(Type.String()), at: Type.String({ format: "date-time" }) },
      { description: "Present where a caller enabled or disabled a declared server against the configuration." },
    ),
  ),
  origin: Type.Enum(["declared", "added"], {
    description: "declared: by the operator, cannot be removed here. added: by a tool.",
  }),
  health: Type.Optional(healthShape),
  connections: Type.Optional(connectionsShape),
});

export { connectionsShape };

/** A server as the tools show it. */
export function serverView(status: ServerStatus, includeHealth: boolean): Record<string, unknown> {
  const { serverId, profile, priority, group, enabled, override, origin, health, connections } = status;
  return {
    serverId,
    ...(typeof profile.url === "string" && { url: withoutUserInfo(profile.url) }),
    priority,
    ...(group !== undefined && { group }),
    enabled,
    ...(override && { override }),
    origin,
    ...(includeHealth && { health, connections }),
  };
}

function withoutUserInfo(url: string): string {
  return url.replace(/\/\/[^/@]*@/, "//");
}
