import { createWebDavServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { readConfiguration } from "./configuration.ts";
import { startDavpool, temporaryFolder } from "./testing/davpool-process.test-support.ts";

test("with the environment alone there is one server, default, and everything works", async () => {
  await using server = await createWebDavServer({ auth: { username: "alice", password: "s3cret" } });
  await using davpool = await startDavpool({
    environment: { DAV_SERVER_URL: server.url, DAV_USERNAME: "alice", DAV_PASSWORD: "s3cret" },
  });
  const { value: listed } = await davpool.call("dav_list_servers");
  expect(listed.servers).toMatchObject([{ serverId: "default", origin: "declared", connections: { max: 10 } }]);
  expect(listed.activeServerId).toBe("default");

  expect((await davpool.call("dav_request", { method: "PUT", path: "/a.txt", body: "text" })).value.status).toBe(201);
  expect((await davpool.call("dav_request", { method: "GET", path: "/a.txt" })).value).toMatchObject({
    serverId: "default",
    status: 200,
    body: "text",
  });
  const added = await davpool.call("dav_add_server", {
    serverId: "more",
    url: "https://dav.example.com/",
    enabled: false,
  });
  expect(added.value.poolSize).toBe(2);
  expect((await davpool.call("dav_remove_server", { serverId: "default" })).isError).toBe(true);
  expect((await davpool.call("dav_pool_stats")).value).toMatchObject({ totalServers: 2, requestStats: { failed: 0 } });
});

async function resolved(environment: Record<string, string>, file?: object) {
  await using folder = await temporaryFolder();
  if (file) {
    const { writeFile } = await import("node:fs/promises");
    await writeFile(`${folder.path}/davpool.config.json`, JSON.stringify(file));
  }
  return (await readConfiguration({ directory: folder.path, environment })).pools[0];
}

describe("the DAV_* variables", () => {
  test("set strategy, failover, idle time-out, health checks and connections of a pool that the file leaves open", async () => {
    const pool = await resolved(
      {
        DAV_LOAD_BALANCE_STRATEGY: "least-connections",
        DAV_FAILOVER_ENABLED: "false",
        DAV_POOL_IDLE_TIMEOUT_MS: "1500",
        DAV_HEALTH_CHECK_ENABLED: "false",
        DAV_DEFAULT_MAX_CONNECTIONS: "3",
      },
      { pools: { files: { transport: "webdav", servers: [{ serverId: "a", url: "https://dav.example.com/" }] } } },
    );
    expect(pool?.strategy.plugin.name).toBe("least-connections");
    expect(pool?.failover.options).toMatchObject({ enabled: false });
    expect(pool?.transport.options).toMatchObject({ idleTimeout: 1_500 });
    expect(pool?.health.enabled).toBe(false);
    expect(pool?.servers).toMatchObject([{ serverId: "a", maxConnections: 3 }]);
  });

  test("give way to what the file says", async () => {
    const pool = await resolved(
      {
        DAV_LOAD_BALANCE_STRATEGY: "random",
        DAV_POOL_IDLE_TIMEOUT_MS: "1500",
        DAV_HEALTH_CHECK_ENABLED: "false",
        DAV_DEFAULT_MAX_CONNECTIONS: "3",
        DAV_SERVER_URL: "https://other.example.com/",
      },
      {
        pools: {
          files: {
            transport: { type: "webdav", idleTimeout: "9s" },
            strategy: "round-robin",
            health: { enabled: true },
            servers: [{ serverId: "a", url: "https://dav.example.com/", maxConnections: 7 }],
          },
        },
      },
    );
    expect(pool?.strategy.plugin.name).toBe("round-robin");
    expect(pool?.transport.options).toMatchObject({ idleTimeout: "9s" });
    expect(pool?.health.enabled).toBe(true);
    expect(pool?.servers).toMatchObject([{ serverId: "a", maxConnections: 7 }]);
    expect(pool?.servers).toHaveLength(1);
  });

  test("have the specification's defaults", async () => {
    const pool = await resolved({ DAV_SERVER_URL: "https://dav.example.com/" });
    expect(pool?.strategy.plugin.name).toBe("round-robin");
    expect(pool?.failover.options).toMatchObject({ enabled: true });
    expect(pool?.transport.options).toMatchObject({ idleTimeout: "60s" });
    expect(pool?.health.enabled).toBe(true);
    expect(pool?.servers).toEqual([
      {
        serverId: "default",
        url: "https://dav.example.com/",
        priority: 1,
        weight: 1,
        maxConnections: 10,
        timeout: 30_000,
        retryAttempts: 3,
        healthCheckInterval: 60,
        enabled: true,
      },
    ]);
  });

  test("are all reported when they are wrong, by name", async () => {
    await expect(
      resolved({
        DAV_LOAD_BALANCE_STRATEGY: "round-robbin",
        DAV_FAILOVER_ENABLED: "perhaps",
        DAV_POOL_IDLE_TIMEOUT_MS: "1s",
        DAV_PASSWORD: "planted-secret",
      }),
    ).rejects.toMatchObject({
      issues: [
        { path: "DAV_LOAD_BALANCE_STRATEGY", suggestion: 'Did you mean "round-robin"?' },
        { path: "DAV_FAILOVER_ENABLED" },
        { path: "DAV_POOL_IDLE_TIMEOUT_MS" },
        { path: "DAV_SERVER_URL" },
      ],
    });
  });
});
