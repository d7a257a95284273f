import { defineConfig } from "@davpool/mcp-server";

/*
 * A team server in a container, with two WebDAV servers over one shared folder. compose.yaml runs it.
 */
export default defineConfig({
  pools: {
    files: {
      transport: "webdav",
      strategy: "response-time",
      servers: [
        {
          serverId: "one",
          url: "http://dav-one/",
          username: "davpool",
          password: { file: "/run/secrets/dav-password" },
        },
        {
          serverId: "two",
          url: "http://dav-two/",
          username: "davpool",
          password: { file: "/run/secrets/dav-password" },
        },
      ],
    },
  },
  // Servers that agents add are kept on the volume. DAVPOOL_SECRET_KEY encrypts their passwords.
  store: { type: "file", path: "/var/lib/davpool/servers.json" },
  http: {
    // What clients write. The proxy in front hands its name on as the Host header.
    publicUrl: "https://files.example.com/mcp",
    // The proxy says who asks. Without a proxy anybody could say anything: leave it out.
    trustProxy: true,
  },
  identity: {
    // `davpool token` prints a token, for its owner, and this hash of it. The one below belongs to no token.
    tokens: [
      {
        principal: "alice",
        hash: "sha256:0000000000000000000000000000000000000000000000000000000000000000",
        scopes: ["files:write"],
        expires: "2027-12-31",
      },
    ],
    // With an authorization server instead, for teams that have one:
    // oauth: { issuer: "https://login.example.com/realms/team" },
    scopes: {
      "files:read": { pools: ["files"], readOnly: true },
      "files:write": { pools: ["files"], tools: ["dav_request", "dav_list_servers", "dav_pool_stats"] },
      // The only one that may add, change and remove servers.
      admin: { manage: true },
    },
    rateLimit: { requests: 600, per: "1m", burst: 100 },
  },
  // Telemetry is told by OTEL_* variables in compose.yaml; it needs nothing here.
});
