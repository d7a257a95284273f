import { defineConfig } from "@davpool/mcp-server";

// Two MCP servers that davpool starts and looks after: clients see fs__read_file, github__create_issue and so on.
export default defineConfig({
  store: "memory",
  pools: {
    fs: {
      transport: "mcp",
      servers: [{ serverId: "tmp", command: ["npx", "-y", "@modelcontextprotocol/server-filesystem", "/tmp"] }],
    },
    github: {
      transport: "mcp",
      servers: [
        {
          serverId: "github",
          command: ["npx", "-y", "@modelcontextprotocol/server-github"],
          env: { GITHUB_PERSONAL_ACCESS_TOKEN: { env: "GITHUB_TOKEN" } },
        },
      ],
    },
  },
});
