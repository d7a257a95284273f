import { defineConfig } from "@davpool/mcp-server";

export default defineConfig({
  // A package's name would do as well.
  plugins: ["./fill-first.ts"],
  pools: {
    files: {
      transport: "webdav",
      strategy: { type: "fill-first", limit: 8 },
      servers: [
        { serverId: "fast", url: "https://fast.example.com/dav/" },
        { serverId: "slow", url: "https://slow.example.com/dav/" },
      ],
    },
  },
});
