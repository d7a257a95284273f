import { defineConfig } from "@davpool/mcp-server";

export default defineConfig({
  // The demo forgets what it did; without this line servers added by tools are kept in servers.json.
  store: "memory",
  pools: {
    files: {
      transport: "webdav",
      strategy: "round-robin",
      // Checks follow each other quickly, and recovered servers have their whole share at once, so that nobody waits.
      health: { recoveryInterval: "100ms", slowStart: 0 },
      servers: [
        { serverId: "eu", url: process.env.EU_URL ?? "", priority: 1, group: "primary" },
        { serverId: "us", url: process.env.US_URL ?? "", priority: 1, group: "primary" },
        { serverId: "backup", url: process.env.BACKUP_URL ?? "", priority: 2, group: "backup" },
      ],
    },
  },
});
