import { createMcpServer, type McpHttpServer } from "@davpool/testkit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { McpServerPool, type McpServerInput, type McpServerPoolOptions } from "./index.ts";
import { next } from "./testing/bench.test-support.ts";
import { createReplicas, textOf } from "./testing/replicas.test-support.ts";

/* The usual uses of a multi-server client, one after another, in this pool's words. */

const TOOLS = [{ name: "calculator", annotations: { readOnlyHint: true }, text: "8" }];
const add = { operation: "add", a: 5, b: 3 };

let servers: McpHttpServer[];

beforeEach(async () => {
  const names = ["server-1", "server-2", "server-3"];
  servers = await Promise.all(names.map((name) => createMcpServer({ transport: "http", name, tools: TOOLS })));
});
afterEach(() => Promise.all(servers.map((server) => server[Symbol.asyncDispose]())));

/** Those of the test, each with what is to be added to it. */
function inputs(profiles: readonly Partial<McpServerInput>[] = []): readonly McpServerInput[] {
  return servers.map(({ name, url }, index) => ({ serverId: name, url, ...profiles[index] }));
}

function open(options: McpServerPoolOptions = {}, profiles: readonly Partial<McpServerInput>[] = []) {
  return McpServerPool.open({ servers: inputs(profiles), ...options });
}

/** How many calls each server has read. */
const calls = () => servers.map((server) => server.calls.length);

async function callAll(pool: McpServerPool, count: number): Promise<void> {
  await pool.listTools();
  await Promise.all(Array.from({ length: count }, () => pool.callTool("calculator", add)));
}

test("basic set-up: health checks, a strategy, servers with priorities and weights", async () => {
  await using pool = await McpServerPool.open({
    healthCheckInterval: 30_000,
    healthCheckTimeout: 10_000,
    offlineThreshold: 3,
    strategy: "round-robin",
  });
  const [one, two] = inputs();
  // 1 is the highest, where others say 10 for the primary.
  await pool.addServer({ serverId: "server-1", url: one?.url ?? "", priority: 1, weight: 100 });
  await pool.addServer({ serverId: "server-2", url: two?.url ?? "", priority: 2, weight: 50 });
  expect(pool.getServers()).toMatchObject([
    { id: "server-1", priority: 1, weight: 100, status: "online" },
    { id: "server-2", priority: 2, weight: 50, status: "online" },
  ]);
});

test("a multi-server client: lists and calls as if there were one server", async () => {
  await using pool = await open({
    strategy: "round-robin",
    fallbackOrder: ["server-1", "server-2"],
    deadline: 30_000,
    maxRetries: 3,
  });
  expect((await pool.listTools()).map(({ name }) => name)).toEqual(["calculator"]);
  expect(textOf(await pool.callTool("calculator", add))).toBe("8");
});

test("advanced configuration: everything at once, over processes as over HTTP", async () => {
  await using replicas = await createReplicas(2);
  await using pool = await McpServerPool.open({
    healthCheckInterval: 15_000,
    healthCheckTimeout: 5_000,
    offlineThreshold: 2,
    reconnectDelay: 60_000,
    maxConnections: 20,
    connectTimeout: 30_000,
    strategy: "least-connections",
    fallbackOrder: ["primary", "secondary", "backup"],
    deadline: 45_000,
    queue: { taskTimeout: 45_000 },
    maxRetries: 5,
    servers: [
      ...replicas.inputs.map(({ command }, index) => ({ serverId: ["primary", "secondary"][index] ?? "", command })),
      { serverId: "backup", url: servers[0]?.url ?? "" },
    ] as McpServerInput[],
  });
  const all = await pool.broadcast("resource_read", { uri: "test://any" }, { aggregate: "all" });
  expect(all.from).toEqual(["primary", "secondary", "backup"]);
});

describe("load balancing", () => {
  test("round robin: evenly", async () => {
    await using pool = await open({ strategy: "round-robin" });
    await callAll(pool, 12);
    expect(calls()).toEqual([4, 4, 4]);
  });

  test("weighted: by capacity", async () => {
    await using pool = await open({ strategy: "weighted" }, [{ weight: 100 }, { weight: 50 }, { weight: 50 }]);
    await callAll(pool, 12);
    expect(calls()).toEqual([6, 3, 3]);
  });

  test("least connections: where the fewest are", async () => {
    await using pool = await open({ strategy: "least_connections" });
    await pool.listTools();
    const hang = servers[0]?.inject({ kind: "hang", on: "call" });
    const held = [1, 2, 3].map(() => pool.callTool("calculator", add, { serverId: "server-1" }));
    await servers[0]?.log.received("calculator", 3);
    await Promise.all([1, 2, 3, 4].map(() => pool.callTool("calculator", add)));
    expect(calls()).toEqual([3, 2, 2]);
    hang?.off();
    await Promise.all(held);
  });

  test("priority: the best first, with fallback to the next", async () => {
    await using pool = await open({ strategy: "priority" }, [{ priority: 2 }, { priority: 1 }, { priority: 3 }]);
    await callAll(pool, 4);
    expect(calls()).toEqual([0, 4, 0]);
    await servers[1]?.stop();
    for (let call = 0; call < 6; call++) await pool.callTool("calculator", add);
    expect(calls()).toEqual([6, 4, 0]);
  });

  test("random: any", async () => {
    let turn = 0;
    await using pool = await open({ strategy: "random", random: () => [0, 0.4, 0.9][turn++ % 3] as number });
    await callAll(pool, 20);
    expect(calls().reduce((sum, count) => sum + count)).toBe(20);
    expect(Math.min(...calls())).toBeGreaterThan(0);
  });
});

describe("aggregation", () => {
  test.each(["first", "fastest", "majority"] as const)("%s: one result, and whose it is", async (way) => {
    await using pool = await open();
    const payload = { name: "calculator", arguments: add };
    const { result, from } = await pool.broadcast("tool_call", payload, { aggregate: way });
    expect(textOf(result)).toBe("8");
    expect(from.length).toBe(way === "majority" ? 3 : 1);
  });

  test("all: each result beside its server", async () => {
    await using pool = await open();
    const { answers } = await pool.broadcast("tool_call", { name: "calculator", arguments: add });
    expect(answers.map(({ serverId, ok }) => [serverId, ok])).toEqual([
      ["server-1", true],
      ["server-2", true],
      ["server-3", true],
    ]);
  });

  test("all tools there are, on whichever servers", async () => {
    servers[2]?.changeTools([{ name: "translator" }]);
    await using pool = await open();
    expect((await pool.listTools()).map(({ name }) => name)).toEqual(["calculator", "translator"]);
  });
});

describe("failover", () => {
  test("by itself, to a server that is well", async () => {
    await using pool = await open();
    await pool.listTools();
    await servers[0]?.stop();
    for (let call = 0; call < 3; call++) expect(textOf(await pool.callTool("calculator", add))).toBe("8");
    expect((await pool.listTools()).map(({ name }) => name)).toEqual(["calculator"]);
  });

  test("in an order of one's own, which the metrics show", async () => {
    await using pool = await open({ fallbackOrder: ["server-3", "server-2"] });
    await pool.listTools();
    await servers[0]?.stop();
    await pool.callTool("calculator", add);
    expect(calls()).toEqual([0, 0, 1]);
    expect(pool.getStats().requests.failoverCount).toBe(1);
  });

  test("with an error when all servers fail", async () => {
    await using pool = await open({ maxRetries: 3, queue: { maxRetries: 0 } });
    await pool.listTools();
    await Promise.all(servers.map((server) => server.stop()));
    await expect(pool.callTool("calculator", add)).rejects.toThrow(/No server of pool "mcp" gave an answer\. server-1/);
  });

  test("is off where one wants to see what fails", async () => {
    await using pool = await open({ failover: false, maxRetries: 0, queue: { maxRetries: 0 } });
    await pool.listTools();
    await servers[0]?.stop();
    await expect(pool.callTool("calculator", add)).rejects.toThrow("No server of pool");
  });

  test("with a circuit breaker, which opens after so many failures", async () => {
    await using pool = await open({ offlineThreshold: 5, reconnectDelay: 60_000, healthCheckInterval: 0 });
    await pool.listTools();
    const [one] = servers;
    one?.inject({ kind: "status", status: 403 });
    const states = new Map<number | undefined, string | undefined>();
    for (let call = 0; call < 15; call++) {
      await pool.callTool("calculator", add);
      states.set(one?.calls.length, pool.getServers()[0]?.circuit.state);
    }
    expect([states.get(4), states.get(5)]).toEqual(["closed", "open"]);
    expect(one?.calls).toHaveLength(5);
  });
});

describe("health", () => {
  test("is checked all the time, and shows in the statistics", async () => {
    await using pool = await open({ healthCheckInterval: 20, offlineThreshold: 2, reconnectDelay: 20 });
    expect(pool.getStats()).toMatchObject({ servers: 3, healthy: 3 });
    const offline = next(pool, "server-offline");
    await servers[0]?.stop();
    expect((await offline)[0]).toBe("server-1");
    expect(pool.getStats()).toMatchObject({ servers: 3, healthy: 2, offline: 1 });
    const recovered = next(pool, "server-recovered");
    await servers[0]?.start();
    expect(await recovered).toEqual(["server-1"]);
  });

  test("of one server: its requests, its errors, its response time, its last use", async () => {
    await using pool = await open();
    await callAll(pool, 3);
    for (const { id, status, stats } of pool.getServers()) {
      expect([id, status, stats.requestsSent, stats.errors]).toEqual([id, "online", 2, 0]);
      expect(stats.averageResponseTime).toBeGreaterThan(0);
      expect(stats.lastUsed).toMatch(/^\d{4}-/);
    }
  });
});

describe("performance", () => {
  test("connections: so many requests at a server, and no more", async () => {
    await using pool = await open({ maxConnections: 2, connectTimeout: 30_000 }, []);
    await pool.listTools();
    const [one] = servers;
    const hang = one?.inject({ kind: "hang", on: "call" });
    const held = [1, 2, 3, 4].map(() => pool.callTool("calculator", add, { serverId: "server-1" }));
    await one?.log.received("calculator", 2);
    expect(pool.getServers()[0]?.activeTasks).toBe(2);
    hang?.off();
    await Promise.all(held);
    expect(one?.calls).toHaveLength(4);
  });

  test("batches: what comes together leaves together, and what is the same once", async () => {
    await using pool = await open({ batch: { size: 3, delay: 60_000 } });
    await pool.listTools();
    await Promise.all([5, 5, 6, 7].map((a) => pool.callTool("calculator", { ...add, a })));
    expect(calls().reduce((sum, count) => sum + count)).toBe(3);
    expect(pool.getStats().batch).toEqual({ batches: 1, requests: 3 });
  });

  test("a cache: lists and answers, for as long as one likes", async () => {
    await using pool = await open({ cache: { ttl: 60_000 } });
    for (let twice = 0; twice < 2; twice++) {
      await pool.listTools();
      await pool.callTool("calculator", add);
    }
    expect(servers.map((server) => server.log.of("tools/list").length)).toEqual([1, 1, 1]);
    expect(calls().reduce((sum, count) => sum + count)).toBe(1);
  });
});

describe("monitoring", () => {
  test("the pool's metrics and the client's are one", async () => {
    await using pool = await open();
    await callAll(pool, 6);
    const stats = pool.getStats();
    // Three lists and six calls.
    expect(stats).toMatchObject({
      servers: 3,
      healthy: 3,
      requests: { total: 9, successful: 9, failed: 0, failoverCount: 0 },
      successRate: 100,
      strategyUsage: { "round-robin": 6 },
    });
    expect(stats.averageResponseTime).toBeGreaterThan(0);
  });

  test("alerts: too few servers, too many errors", async () => {
    await using pool = await open({ healthCheckInterval: 20, offlineThreshold: 1, queue: { maxRetries: 0 } });
    const alerts = () => {
      const { healthy, requests, successRate } = pool.getStats();
      return [
        ...(healthy < 2 ? [`Only ${healthy} servers healthy`] : []),
        ...(requests.total > 0 && successRate < 95 ? [`Success rate: ${successRate}%`] : []),
      ];
    };
    await callAll(pool, 3);
    expect(alerts()).toEqual([]);
    for (const server of servers.slice(1)) {
      const offline = next(pool, "server-offline");
      await server.stop();
      await offline;
    }
    await expect(pool.callTool("calculator", add, { serverId: "server-3" })).rejects.toThrow("gave an answer");
    expect(alerts()).toEqual(["Only 1 servers healthy", expect.stringMatching(/^Success rate: \d/)]);
  });
});

test("load: a hundred calls at one time spread over the servers", async () => {
  await using pool = await open({ strategy: "round-robin" });
  await callAll(pool, 100);
  for (const count of calls()) {
    expect(count).toBeGreaterThan(25);
    expect(count).toBeLessThan(40);
  }
});

test("service discovery: the servers of the pool follow those that are found", async () => {
  await using pool = await McpServerPool.open();
  const found = async (discovered: readonly McpServerInput[]) => {
    const known = new Set(pool.getServers().map(({ id }) => id));
    for (const server of discovered) if (!known.delete(server.serverId)) await pool.addServer(server);
    for (const gone of known) await pool.removeServer(gone);
  };
  const [one, two, three] = inputs() as [McpServerInput, McpServerInput, McpServerInput];
  await found([one, two]);
  expect(pool.getServers().map(({ id }) => id)).toEqual(["server-1", "server-2"]);
  await found([two, three]);
  expect(pool.getServers().map(({ id }) => id)).toEqual(["server-2", "server-3"]);
  await callAll(pool, 4);
  expect(calls()).toEqual([0, 2, 2]);
});
