import { defineConfig } from "@davpool/mcp-server";

const { SEARCH_A = "https://search-a.example.com/mcp", SEARCH_B = "https://search-b.example.com/mcp" } = process.env;

// A gateway for a team: replicas, rules about tools, people with scopes, and a record of every call.
export default defineConfig({
  store: "memory",
  pools: {
    // Two equal servers that keep nothing between calls: each call goes to the less busy one, and on with the other.
    search: {
      transport: { type: "mcp", sessions: "shared" },
      strategy: "least-connections",
      deadline: "20s",
      servers: [
        { serverId: "a", url: SEARCH_A, token: { env: "SEARCH_TOKEN" } },
        { serverId: "b", url: SEARCH_B, token: { env: "SEARCH_TOKEN" } },
      ],
    },
    // A program that remembers what each client told it: one process for each session, twenty at most.
    memory: {
      transport: { type: "mcp", sessions: "own", maxProcesses: 20, startTimeout: "20s" },
      policies: [{ type: "audit-log", file: "calls.jsonl", arguments: "names" }],
      servers: [{ serverId: "local", command: ["npx", "-y", "@modelcontextprotocol/server-memory"] }],
    },
  },
  gateway: {
    namespace: "always",
    pools: {
      // Whoever may only read may use what these servers call harmless.
      search: { trustHints: true },
      memory: {
        tools: {
          deny: ["delete_*"],
          rename: { read_graph: "recall" },
          descriptions: { read_graph: "Everything that you were told to remember." },
        },
      },
    },
  },
  identity: {
    tokens: [
      {
        principal: "alice",
        hash: "sha256:e43e209de08c134344f054c614da7ab11851f4bf1e2498691292d5624a70a2e9",
        scopes: ["everything"],
      },
      {
        principal: "bob",
        hash: "sha256:fba974525c197a82fd1de9338d95e4d2dee388daedd4f7e6db97546e82fa5aa5",
        scopes: ["search"],
      },
    ],
    scopes: { everything: {}, search: { pools: ["search"], readOnly: true } },
  },
});
