import { defineConfig } from "@davpool/mcp-server";

/*
 * Two sites over shared storage and one mirror far away, for an agent that must not notice when one of them goes down.
 */
export default defineConfig({
  pools: {
    files: {
      transport: { type: "webdav", idleTimeout: "60s", preconnect: 2 },
      // Finds out by itself which site is nearer today.
      strategy: "response-time",
      // A read that takes longer than nineteen of twenty goes to the other site as well.
      hedging: { percentile: 0.95, least: "50ms" },
      health: { failures: 3, successes: 2, recoveryInterval: "2s", slowStart: "30s" },
      limits: { queue: { size: 500, timeout: "5s" } },
      // Whoever is on call hears of it once, and not once for every request.
      notifiers: [
        {
          type: "webhook",
          url: "https://alerts.example.com/davpool",
          secret: { env: "ALERT_SECRET" },
          events: ["failover", "recovered", "all-down"],
        },
      ],
      servers: [
        {
          serverId: "site-a",
          url: "https://a.example.com/dav/",
          username: "davpool",
          password: { env: "DAV_PASSWORD_A" },
          priority: 1,
          group: "sites",
          maxConnections: 20,
          timeout: 10_000,
          healthCheckInterval: 15,
        },
        {
          serverId: "site-b",
          url: "https://b.example.com/dav/",
          username: "davpool",
          password: { env: "DAV_PASSWORD_B" },
          priority: 1,
          group: "sites",
          maxConnections: 20,
          timeout: 10_000,
          healthCheckInterval: 15,
        },
        {
          serverId: "mirror",
          url: "https://mirror.example.com/dav/",
          token: { file: "/run/secrets/mirror-token" },
          priority: 2,
          group: "mirror",
        },
      ],
    },
  },
  // Servers may be added by agents, but only inside the company's network.
  security: { allowHosts: ["10.0.0.0/8"] },
});
