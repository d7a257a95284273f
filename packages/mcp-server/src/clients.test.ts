import { createWebDavCluster } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { startDavpool } from "./testing/davpool-process.test-support.ts";

describe.each(["older", "newer"] as const)("an MCP client of the %s line", (client) => {
  test("sees the tools in their order, with schemas and all four hints", async () => {
    await using davpool = await startDavpool({ client, config: { pools: { files: { transport: "webdav" } } } });
    const tools = await davpool.tools();
    expect(tools.map((tool) => tool.name)).toEqual([
      "dav_add_server",
      "dav_list_servers",
      "dav_remove_server",
      "dav_set_active_server",
      "dav_pool_stats",
      "dav_request",
      "dav_update_server",
    ]);
    for (const tool of tools) {
      expect(tool.inputSchema).toMatchObject({ type: "object" });
      expect(tool.outputSchema).toMatchObject({ type: "object" });
      expect(Object.keys(tool.annotations as object).toSorted()).toEqual([
        "destructiveHint",
        "idempotentHint",
        "openWorldHint",
        "readOnlyHint",
      ]);
    }
  });

  test("manages servers and sends requests to the pool, to one server and to a group", async () => {
    await using cluster = await createWebDavCluster({ servers: 3, tree: "separate" });
    await using davpool = await startDavpool({
      client,
      config: {
        security: { allowHosts: ["127.0.0.0/8"] },
        pools: {
          files: {
            transport: "webdav",
            servers: [
              { serverId: "one", url: cluster.urls[0], priority: 1, group: "mirror" },
              { serverId: "two", url: cluster.urls[1], priority: 2, group: "mirror" },
            ],
          },
        },
      },
    });

    const added = await davpool.call("dav_add_server", { serverId: "three", url: cluster.urls[2], group: "spare" });
    expect(added.value).toEqual({
      success: true,
      serverId: "three",
      message: "Server profile added",
      poolSize: 3,
    });
    const listed = await davpool.call("dav_list_servers", { includeHealth: true });
    expect(listed.value.servers.map((server: { serverId: string }) => server.serverId)).toEqual([
      "one",
      "two",
      "three",
    ]);
    expect(listed.value.activeServerId).toBe("one");
    // Without a priority an added server joins the lowest tier in use.
    expect(listed.value.servers[2]).toMatchObject({ priority: 2, origin: "added", enabled: true });

    const put = await davpool.call("dav_request", { method: "PUT", path: "/a.txt", body: "to the pool" });
    expect(put.value).toMatchObject({ serverId: "one", success: true, status: 201 });
    expect(put.value).not.toHaveProperty("attempts");
    expect(cluster.servers[0]?.tree.readText("/a.txt")).toBe("to the pool");

    const pinned = await davpool.call("dav_request", { method: "PUT", path: "/b.txt", body: "x", serverId: "three" });
    expect(pinned.value).toMatchObject({ serverId: "three", status: 201 });
    expect(cluster.servers[2]?.tree.readText("/b.txt")).toBe("x");

    const group = await davpool.call("dav_request", {
      method: "PUT",
      path: "/c.txt",
      body: "everywhere",
      serverGroup: "mirror",
    });
    expect(group.value.results).toMatchObject([
      { serverId: "one", success: true, status: 201, body: "" },
      { serverId: "two", success: true, status: 201, body: "" },
    ]);

    const active = await davpool.call("dav_set_active_server", { serverId: "three" });
    expect(active.value).toEqual({ success: true, previousServerId: "one", activeServerId: "three" });
    expect((await davpool.call("dav_request", { method: "GET", path: "/b.txt" })).value.serverId).toBe("three");

    const disabled = await davpool.call("dav_update_server", { serverId: "one", enabled: false });
    expect(disabled.value.server).toMatchObject({ serverId: "one", enabled: false });

    const removed = await davpool.call("dav_remove_server", { serverId: "three" });
    expect(removed.value).toMatchObject({
      success: true,
      message: "Server three removed from pool",
      activeServerId: "two",
    });
    expect(removed.value.warning).toContain("was the active server");

    const stats = await davpool.call("dav_pool_stats");
    expect(stats.value).toMatchObject({
      totalServers: 2,
      healthyServers: 2,
      unhealthyServers: 0,
      requestStats: { total: 4, successful: 4, failed: 0, failoverCount: 0 },
    });
  });

  test("is told of an unknown tool by the protocol's own error", async () => {
    await using davpool = await startDavpool({ client, config: { pools: { files: { transport: "webdav" } } } });
    await expect(davpool.call("dav_requst")).rejects.toMatchObject({ code: -32602 });
  });
});
