import { createManualClock, definePlugin } from "@davpool/core";
import { leastConnections } from "@davpool/strategy-least-connections";
import { priority } from "@davpool/strategy-priority";
import { random } from "@davpool/strategy-random";
import { responseTime } from "@davpool/strategy-response-time";
import { roundRobin } from "@davpool/strategy-round-robin";
import { weighted } from "@davpool/strategy-weighted";
import { createMcpServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { McpServerPool } from "./server-pool.ts";
import { codeOf, failureOf, next, openBench } from "./testing/bench.test-support.ts";
import { createReplicas, textOf } from "./testing/replicas.test-support.ts";

describe("servers", () => {
  test("come and go, at any address, and as processes", async () => {
    await using web = await createMcpServer({ transport: "http", name: "web", token: "hunter2" });
    await using replicas = await createReplicas(1);
    await using pool = await McpServerPool.open({ healthCheckInterval: 0 });
    expect(await codeOf(pool.callTool("read", {}, { maxRetries: 0 }))).toBe("NO_SERVER_AVAILABLE");

    const added = await pool.addServer({ serverId: "web", url: web.url, token: "hunter2", priority: 2, weight: 3 });
    expect(added).toMatchObject({ id: "web", target: web.url, status: "online", priority: 2, weight: 3 });
    expect(textOf(await pool.callTool("read"))).toBe("web read {}");
    await pool.addServer(replicas.inputs[0] ?? { serverId: "none" });
    await pool.removeServer("web");
    expect(textOf(await pool.callTool("read"))).toBe("s1 read {}");

    expect(pool.getServers().map(({ id }) => id)).toEqual(["s1"]);
    expect(JSON.stringify(pool.getServers())).not.toContain("hunter2");
    expect(await codeOf(pool.addServer({ serverId: "s1", url: web.url }))).toBe("DUPLICATE_SERVER");
    expect(await codeOf(pool.removeServer("web"))).toBe("UNKNOWN_SERVER");
    expect(await codeOf(pool.addServer({ serverId: "odd", url: "ftp://somewhere" }))).toBe("INVALID_PROFILE");
    expect(pool.getServers()).toHaveLength(1);
  });

  test("leave rotation when they die, stay configured, and take requests again when they are back", async () => {
    await using bench = await openBench({ healthCheckInterval: 20, reconnectDelay: 20, recoveryThreshold: 1 });
    const { pool, one } = bench;
    await pool.listTools();
    const degraded = next(pool, "server-degraded");
    const offline = next(pool, "server-offline");
    await one.stop();
    expect((await degraded)[0]).toBe("s1");
    const [serverId, error] = await offline;
    expect([serverId, error]).toEqual(["s1", expect.any(Error)]);
    expect(pool.getServers()).toMatchObject([
      { id: "s1", status: "offline", givenUp: false },
      { id: "s2", status: "online" },
    ]);
    expect(pool.getStats()).toMatchObject({ servers: 2, healthy: 1, offline: 1 });
    for (let call = 0; call < 4; call++) expect(textOf(await pool.callTool("read"))).toBe("s2 read {}");
    // Its last list is kept.
    expect(pool.serversWith("read").toSorted()).toEqual(["s1", "s2"]);

    const recovered = next(pool, "server-recovered");
    await one.start();
    expect(await recovered).toEqual(["s1"]);
    expect(textOf(await pool.callTool("read", {}, { serverId: "s1" }))).toBe("s1 read {}");
  });

  test("are given up where attempts are counted, until somebody asks for them", async () => {
    const { promise: givenUp, resolve } = Promise.withResolvers<void>();
    const warn = (line: string) => {
      if (line.includes("Server s1 is given up")) resolve();
    };
    await using bench = await openBench({
      healthCheckInterval: 20,
      reconnectDelay: 20,
      offlineThreshold: 2,
      recoveryThreshold: 1,
      reconnectAttempts: 2,
      log: { debug() {}, info() {}, error() {}, warn },
    });
    const { pool, one } = bench;
    await one.stop();
    await givenUp;
    expect(pool.getServers()).toMatchObject([
      { id: "s1", status: "offline", givenUp: true, target: one.url },
      { id: "s2", givenUp: false },
    ]);
    expect(pool.getStats()).toMatchObject({ servers: 2, offline: 1 });
    await one.start();
    await pool.reconnectServer("s1");
    expect(textOf(await pool.callTool("read", {}, { serverId: "s1" }))).toBe("s1 read {}");
    expect(pool.getServers()[0]).toMatchObject({ id: "s1", givenUp: false });
    await pool.reconnectServer("s2");
    expect(await codeOf(pool.reconnectServer("s3"))).toBe("UNKNOWN_SERVER");
  });
});

test("a server may be checked more often than the others, and a listener that fails disturbs nobody", async () => {
  const errors: string[] = [];
  const error = (message: string) => void errors.push(message);
  await using bench = await openBench({
    offlineThreshold: 2,
    reconnectDelay: 20,
    log: { debug() {}, info() {}, warn() {}, error },
  });
  const { pool, one } = bench;
  await pool.removeServer("s1");
  pool.on("server-offline", () => {
    throw new Error("the listener's own");
  });
  pool.on("server-offline", () => Promise.reject(new Error("as well")));
  const ended = pool.on("server-offline", (serverId) => void errors.push(serverId));
  ended[Symbol.dispose]();
  const offline = next(pool, "server-offline");
  await pool.addServer({ serverId: "s3", url: one.url, healthCheckInterval: 20 });
  await one.stop();
  expect((await offline)[0]).toBe("s3");
  expect(errors).toEqual(Array(2).fill('A listener of "server-offline" failed.'));
  expect(textOf(await pool.callTool("read"))).toBe("s2 read {}");
});

describe("lists", () => {
  const only = (name: string) => ({ tools: [{ name: "read", annotations: { readOnlyHint: true } }, { name }] });

  test("are united, and calls go to those that have the tool", async () => {
    await using bench = await openBench({}, [only("one"), only("two")]);
    const { pool, one, two } = bench;
    expect((await pool.listTools()).map(({ name }) => name)).toEqual(["read", "one", "two"]);
    expect((await pool.listResources()).map(({ uri }) => uri)).toEqual(["test://s1", "test://s2"]);
    expect((await pool.listPrompts()).map(({ name }) => name)).toEqual(["greet"]);
    expect(await pool.listResourceTemplates()).toEqual([]);
    for (let call = 0; call < 6; call++) {
      expect(textOf(await pool.callTool("one", { call }))).toBe(`s1 one {"call":${call}}`);
      expect(textOf(await pool.callTool("two", { call }))).toBe(`s2 two {"call":${call}}`);
    }
    expect([one.calls.length, two.calls.length]).toEqual([6, 6]);
    expect(pool.serversWith("read")).toEqual(["s1", "s2"]);
    const contents = (await pool.readResource("test://s2")).contents as readonly { readonly text: string }[];
    expect(contents[0]?.text).toBe("s2 test://s2");
    const { messages } = await pool.getPrompt("greet");
    expect(messages[0]?.content).toMatchObject({ text: expect.stringMatching(/^s\d greets$/) as string });
  });

  test("are asked for anew when they change, and when they are old", async () => {
    const clock = createManualClock();
    await using bench = await openBench({ clock, listMaxAge: 60_000 }, [only("one"), only("two")]);
    const { pool, two } = bench;
    await pool.listTools();
    two.changeTools([{ name: "three" }]);
    const failure = await failureOf(pool.callTool("red"));
    expect([failure.code, failure.message]).toEqual(["UNKNOWN_TOOL", expect.stringContaining("Did you mean")]);
    clock.advance(1_000);
    expect(textOf(await pool.callTool("three"))).toBe("s2 three {}");
    expect((await pool.listTools()).map(({ name }) => name)).toEqual(["read", "one", "three"]);
    const before = two.log.of("tools/list").length;
    await pool.callTool("three");
    expect(two.log.of("tools/list")).toHaveLength(before);
    clock.advance(60_000);
    await pool.callTool("three");
    await two.log.received("tools/list", before + 1);
  });

  test("that nobody gives leave a call to whoever answers, and end a list with the reason", async () => {
    await using bench = await openBench({ maxRetries: 0, queue: { maxRetries: 0 } }, [{}]);
    const { pool, one } = bench;
    await one.stop();
    expect(await codeOf(pool.listTools())).toBe("NO_SERVER_AVAILABLE");
    expect(await codeOf(pool.callTool("read"))).toBe("NO_SERVER_AVAILABLE");
    await one.start();
    expect(textOf(await pool.callTool("read"))).toBe("s1 read {}");
  });
});

describe("a call", () => {
  test("gets what the server says: an error of the tool as a result, one of the protocol as an error", async () => {
    await using bench = await openBench({}, [{}]);
    const { pool, one } = bench;
    expect(await pool.callTool("fail")).toMatchObject({ isError: true });
    using error = one.inject({ kind: "error", code: -32_602, message: "no such file" });
    expect(await failureOf(pool.callTool("read"))).toMatchObject({
      code: "MCP_ERROR",
      rpcCode: -32_602,
      serverId: "s1",
      message: 'Server "s1" answered with an error: no such file (-32602)',
    });
    error.off();
    one.inject({ kind: "status", status: 403 });
    expect(await failureOf(pool.callTool("add"))).toMatchObject({ code: "SERVER_REFUSED", status: 403 });
    expect(one.log.of("add")).toHaveLength(1);
  });

  test("whose server dies under it goes elsewhere if it may be repeated; else nobody knows", async () => {
    await using bench = await openBench();
    const { pool, one, two } = bench;
    await pool.listTools();
    one.inject({ kind: "cut", when: "before-head" });
    two.inject({ kind: "cut", when: "before-head" }).off();
    const ends = [];
    for (const tool of ["read", "put", "add"])
      for (const call of [1, 2]) ends.push(await codeOf(pool.callTool(tool, { call })));
    expect(ends.filter((end) => end !== "Error: no error")).toEqual(["OUTCOME_UNKNOWN"]);
    expect(one.log.of("add").length + two.log.of("add").length).toBe(2);
    // Whoever knows better may say so.
    const known = { annotations: { idempotentHint: true } };
    for (const call of [3, 4]) expect(textOf(await pool.callTool("add", { call }, known))).toContain("s2 add");
  });

  test("is repeated only if every replica says that it may be", async () => {
    await using bench = await openBench({}, [
      { tools: [{ name: "set", annotations: { idempotentHint: true } }] },
      { tools: [{ name: "set" }] },
    ]);
    const { pool, servers } = bench;
    await pool.listTools();
    for (const server of servers) server.inject({ kind: "cut", when: "before-head" });
    expect(await codeOf(pool.callTool("set"))).toBe("OUTCOME_UNKNOWN");
    expect(servers.flatMap((server) => server.log.of("set"))).toHaveLength(1);
  });

  test("tells of its progress, and may be cancelled", async () => {
    await using bench = await openBench({}, [{}]);
    const { pool, one } = bench;
    const steps: number[] = [];
    await pool.callTool("read", { steps: 3 }, { onProgress: ({ progress }) => steps.push(progress) });
    expect(steps).toEqual([1, 2, 3]);
    one.inject({ kind: "hang", on: "call" });
    const abort = new AbortController();
    const end = codeOf(pool.callTool("read", {}, { signal: abort.signal }));
    await one.log.received("read", 2);
    abort.abort();
    expect(await end).toBe("CANCELLED");
    one.clearFaults();
  });

  test("takes no longer than its time, and one that must not be repeated then ends as unknown", async () => {
    const clock = createManualClock();
    await using bench = await openBench({ clock, timeout: 60_000, queue: { maxRetries: 0 } }, [{}]);
    const { pool, one } = bench;
    await pool.listTools();
    one.inject({ kind: "hang", on: "call" });
    const ends = [
      codeOf(pool.callTool("add", {}, { timeout: 5_000 })),
      codeOf(pool.run("tool_call", { name: "read" }, { deadline: 5_000 })),
    ];
    await one.log.received("tools/call", 2);
    clock.advance(5_000);
    expect(await Promise.all(ends)).toEqual(["OUTCOME_UNKNOWN", "DEADLINE_EXCEEDED"]);
    one.clearFaults();
  });
});

describe("a strategy", () => {
  test.each(["round-robin", "least-connections", "least-loaded", "priority", "weighted", "random", "response-time"])(
    "may be given by its name: %s",
    async (strategy) => {
      await using bench = await openBench({ strategy });
      expect(textOf(await bench.pool.callTool("read"))).toContain("read");
      expect(bench.pool.getStats().strategy).toBe(strategy);
    },
  );

  test.each([roundRobin, leastConnections, priority, weighted, random, responseTime])(
    "may be given as a plugin: $name",
    async (strategy) => {
      await using bench = await openBench({ strategy });
      expect(textOf(await bench.pool.callTool("read"))).toContain("read");
      expect(bench.pool.getStats().strategy).toBe(strategy.name);
    },
  );

  test("may be given with options, and be one of the plugins that the program brings", async () => {
    await using first = await openBench({ strategy: { type: "response-time", decay: 5_000 } });
    expect(first.pool.getStats().strategy).toBe("response-time");
    const last = definePlugin({
      kind: "selector",
      name: "last",
      create: () => ({ select: (candidates) => candidates.at(-1) ?? candidates[0] }),
    });
    await using second = await openBench({ strategy: "last", plugins: [last] });
    await second.pool.listTools();
    expect(textOf(await second.pool.callTool("read"))).toBe("s2 read {}");
  });

  test("that nobody knows, and whatever else is wrong, is reported at once", async () => {
    const failure = await failureOf(McpServerPool.open({ strategy: "round-robbin", timeout: -1, offlineThreshold: 0 }));
    expect(failure.code).toBe("INVALID_CONFIG");
    expect(failure.message).toContain("round-robbin");
    expect(failure.message).toContain('Did you mean "round-robin"?');
    expect(failure.message).toContain("timeout");
    expect(failure.message).toContain("failures");
  });

  test("named priority prefers 1 to 2, and weighted gives shares", async () => {
    const shares = async (strategy: string) => {
      await using bench = await openBench({ strategy });
      const { pool, one, two } = bench;
      await pool.removeServer("s1");
      await pool.removeServer("s2");
      await pool.addServer({ serverId: "s1", url: one.url, priority: 2, weight: 1 });
      await pool.addServer({ serverId: "s2", url: two.url, priority: 1, weight: 3 });
      await pool.listTools();
      for (let call = 0; call < 8; call++) await pool.callTool("read");
      return [one.calls.length, two.calls.length];
    };
    expect(await shares("priority")).toEqual([0, 8]);
    expect(await shares("weighted")).toEqual([2, 6]);
    expect(await shares("round-robin")).toEqual([4, 4]);
  });
});

describe("closing", () => {
  test("has queued tasks done, and ends processes", async () => {
    await using replicas = await createReplicas(2);
    const pool = await McpServerPool.open({ servers: replicas.inputs, queue: { concurrentTasks: 2 } });
    const tasks = Array.from({ length: 20 }, (_none, task) => pool.callTool("add", { task }));
    await pool.close();
    expect(await Promise.all(tasks)).toHaveLength(20);
    for (const server of replicas.servers) await server.gone();
    expect(await codeOf(pool.callTool("read"))).toBe("QUEUE_CLOSED");
    expect(await codeOf(pool.run("tool_call", { name: "read" }))).toBe("POOL_CLOSED");
    expect(await codeOf(pool.addServer({ serverId: "s3", command: "true" }))).toBe("POOL_CLOSED");
  });

  test("ends what would not end: what was sent with an outcome that nobody knows", async () => {
    await using bench = await openBench({ queue: { concurrentTasks: 1 } }, [{}]);
    const { pool, one } = bench;
    await pool.listTools();
    one.inject({ kind: "hang", on: "call" });
    const failed: string[] = [];
    pool.on("task-failed", (taskId) => failed.push(taskId));
    const ends = [codeOf(pool.callTool("add")), codeOf(pool.callTool("read"))];
    await one.log.received("add");
    await pool.close({ drain: 0 });
    expect(await Promise.all(ends)).toEqual(["OUTCOME_UNKNOWN", "QUEUE_CLOSED"]);
    expect(failed).toEqual(["task-2", "task-1"]);
    one.clearFaults();
  });
});
