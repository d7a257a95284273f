import { createMcpServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { optionsFromEnvironment } from "./environment.ts";
import { McpServerPool } from "./server-pool.ts";
import { textOf } from "./testing/replicas.test-support.ts";

/** What is wrong, line by line. */
function problems(environment: Record<string, string>): readonly string[] {
  try {
    optionsFromEnvironment(environment);
    return [];
  } catch (error) {
    return (error as Error).message.split("\n").map((line) => line.trim());
  }
}

test("servers and their strategy stand in the environment", async () => {
  await using one = await createMcpServer({ transport: "http", name: "one" });
  await using two = await createMcpServer({ transport: "http", name: "two" });
  const environment = {
    MCP_SERVERS: `first=${new URL(one.url).host},${two.url}`,
    LOAD_BALANCING_STRATEGY: "least_connections",
  };
  await using pool = await McpServerPool.open({ ...optionsFromEnvironment(environment), healthCheckInterval: 0 });
  expect(pool.getServers().map(({ id, target }) => [id, target])).toEqual([
    ["first", one.url],
    ["127.0.0.1", two.url],
  ]);
  expect(pool.getStats().strategy).toBe("least-connections");
  expect(textOf(await pool.callTool("read", {}, { serverId: "first" }))).toBe("one read {}");
});

describe("MCP_SERVERS", () => {
  test("holds hosts with ports, as in manifests of Kubernetes, or whole addresses", () => {
    const servers = " mcp-server-1:8080, mcp-server-2:8080,https://eu.example.com/tools?team=a ,b=mcp-server-1:8081";
    expect(optionsFromEnvironment({ MCP_SERVERS: servers })).toEqual({
      servers: [
        { serverId: "mcp-server-1", url: "http://mcp-server-1:8080/mcp" },
        { serverId: "mcp-server-2", url: "http://mcp-server-2:8080/mcp" },
        { serverId: "eu.example.com", url: "https://eu.example.com/tools?team=a" },
        { serverId: "b", url: "http://mcp-server-1:8081/mcp" },
      ],
    });
  });

  test("tells servers of one host apart by their ports", () => {
    const { servers } = optionsFromEnvironment({ MCP_SERVERS: "localhost:1,localhost:2" });
    expect(servers.map(({ serverId }) => serverId)).toEqual(["localhost-1", "localhost-2"]);
  });

  test.each([{}, { MCP_SERVERS: "" }, { MCP_SERVERS: " , " }])("that are none: %o", (environment) => {
    expect(problems(environment)).toEqual([
      "The environment has a problem:",
      "MCP_SERVERS: is not set. Name the servers, separated by commas: MCP_SERVERS=mcp-server-1:8080,mcp-server-2:8080.",
    ]);
  });

  test("that are wrong are named, each with what to do", () => {
    const long = "mcp-0.mcp-headless.default.svc.cluster.local";
    const wrong = [
      "a:1",
      "",
      "ftp://b",
      "http://",
      "a:2:3",
      "https://me:pass@c.example",
      `${long}:80`,
      "x=a:1",
      "x=a:2",
    ];
    const found = problems({ MCP_SERVERS: wrong.join(",") });
    expect(found[0]).toBe("The environment has 7 problems:");
    expect(
      found.slice(1, 5).every((line) => line.includes("is no address of a server: write host:port or a URL")),
    ).toBe(true);
    expect(found[2]).toMatch(/^MCP_SERVERS\[2\]: "ftp:\/\/b"/);
    expect(found[5]).toMatch(/^MCP_SERVERS\[5\]: the address of c\.example holds a user or password\. Leave it out/);
    expect(found.join()).not.toContain("pass@");
    expect(found[6]).toMatch(/^MCP_SERVERS\[6\]: "mcp-0\..*" cannot be a serverId: .* Name the server: some-id=http:/);
    expect(found[7]).toMatch(/^MCP_SERVERS\[8\]: there is a server "x" before it\. Leave one out, or name it/);
  });
});

describe("LOAD_BALANCING_STRATEGY", () => {
  test.each([
    ["least_connections", "least-connections"],
    ["ROUND_ROBIN", "round-robin"],
    ["least-loaded", "least-loaded"],
    ["weighted", "weighted"],
    [" priority ", "priority"],
    ["random", "random"],
    ["response_time", "response-time"],
    ["", undefined],
  ])("%j", (written, strategy) => {
    const environment = { MCP_SERVERS: "a:1", LOAD_BALANCING_STRATEGY: written };
    expect(optionsFromEnvironment(environment).strategy).toBe(strategy);
  });

  test("that nobody knows is reported beside what else is wrong", () => {
    expect(problems({ LOAD_BALANCING_STRATEGY: "least_conections" })).toEqual([
      "The environment has 2 problems:",
      expect.stringContaining("MCP_SERVERS: is not set."),
      'LOAD_BALANCING_STRATEGY: "least_conections" is no strategy. Strategies: round-robin, least-connections, least-loaded, priority, weighted, random, response-time. Did you mean "least-connections"?',
    ]);
  });
});
