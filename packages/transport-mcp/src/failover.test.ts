import { isDavpoolError, type Answer } from "@davpool/core";
import { createMcpServer, type McpFault, type McpHttpServer, type McpStdioServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { TIMEOUT, ended, openPool, textOf, type OpenPool } from "./testing/pool.test-support.ts";
import type { McpRequest, McpResponse } from "./wire.ts";

const REQUESTS = {
  safe: { method: "tools/call", params: { name: "read" }, annotations: { readOnlyHint: true } },
  idempotent: { method: "tools/call", params: { name: "put" }, annotations: { idempotentHint: true } },
  neither: { method: "tools/call", params: { name: "add" } },
  list: { method: "tools/list" },
} as const satisfies Record<string, McpRequest>;

type Kind = keyof typeof REQUESTS;
const KINDS = Object.keys(REQUESTS) as Kind[];

type Replicas<S> = readonly [S, S, S];

async function outcome(call: Promise<Answer<McpResponse>>): Promise<string> {
  try {
    const { value, serverId } = await call;
    return value.refusal ? `${serverId} ${value.refusal.status}` : serverId;
  } catch (error) {
    if (isDavpoolError(error)) return error.code;
    throw error;
  }
}

async function overStdio(use: (open: OpenPool, servers: Replicas<McpStdioServer>) => Promise<void>): Promise<void> {
  await using one = await createMcpServer({ transport: "stdio", name: "one" });
  await using two = await createMcpServer({ transport: "stdio", name: "two" });
  await using three = await createMcpServer({ transport: "stdio", name: "three" });
  const servers = [one, two, three] as const;
  await using open = await openPool(
    servers.map(({ command }) => ({ command })),
    { strategy: "round-robin" },
  );
  await Promise.all(["s1", "s2", "s3"].map((serverId) => open.pool.execute(REQUESTS.list, { serverId })));
  await use(open, servers);
}

async function overHttp(use: (open: OpenPool, servers: Replicas<McpHttpServer>) => Promise<void>): Promise<void> {
  await using one = await createMcpServer({ transport: "http", name: "one" });
  await using two = await createMcpServer({ transport: "http", name: "two" });
  await using three = await createMcpServer({ transport: "http", name: "three" });
  const servers = [one, two, three] as const;
  await using open = await openPool(
    servers.map(({ url }, index) => ({ url, priority: index + 1 })),
    { tiers: true },
  );
  await use(open, servers);
}

describe("three replicas, of which the first one fails", () => {
  const FAULTS: readonly (readonly [string, McpFault, (kind: Kind) => string])[] = [
    [
      "breaks off before it answers",
      { kind: "cut", when: "before-head" },
      (kind) => (kind === "neither" ? "OUTCOME_UNKNOWN" : "s2"),
    ],
    [
      "breaks off while it answers",
      { kind: "cut", when: "in-stream" },
      (kind) => (kind === "neither" ? "OUTCOME_UNKNOWN" : "s2"),
    ],
    ["answers 503", { kind: "status", status: 503 }, (kind) => (kind === "neither" ? "s1 503" : "s2")],
    ["answers 429", { kind: "status", status: 429 }, (kind) => (kind === "neither" ? "s1 429" : "s2")],
    ["answers with a JSON-RPC error", { kind: "error", code: -32_603, message: "no" }, () => "s1"],
    ["lets no session begin", { kind: "crash-before-ready" }, () => "s2"],
  ];
  const cells = FAULTS.flatMap(([name, fault, expected]) =>
    KINDS.filter((kind) => kind !== "list").map((kind) => [name, kind, fault, expected(kind)] as const),
  );

  test.each(cells)("%s: a call that is %s", async (_name, kind, fault, expected) => {
    await overHttp(async ({ pool }, [first, ...others]) => {
      first.inject(fault);
      expect(await outcome(pool.execute(REQUESTS[kind]))).toBe(expected);
      const reached = fault.kind === "crash-before-ready" ? 0 : 1;
      expect(first.calls).toHaveLength(reached);
      expect(others.flatMap(({ calls }) => calls)).toHaveLength(expected === "s2" ? 1 : 0);
    });
  });

  test.each(["safe", "idempotent", "neither"] as const)("is down: a call that is %s", async (kind) => {
    await overHttp(async ({ pool }, [first]) => {
      await first.stop();
      expect(await outcome(pool.execute(REQUESTS[kind]))).toBe("s2");
      await first.start();
    });
  });

  test.each(["safe", "idempotent", "neither"] as const)("does not answer in time: a call that is %s", async (kind) => {
    await overHttp(async ({ pool, clock }, [first]) => {
      const hang = first.inject({ kind: "hang", on: "call" });
      const call = outcome(pool.execute(REQUESTS[kind]));
      await first.log.received("tools/call");
      clock.advance(TIMEOUT);
      expect(await call).toBe(kind === "neither" ? "OUTCOME_UNKNOWN" : "s2");
      hang.off();
    });
  });
});

describe("answers", () => {
  test("with isError, and JSON-RPC errors, are answers: nobody else is asked, and no server is blamed", async () => {
    await overHttp(async ({ pool }, [first]) => {
      for (let n = 0; n < 5; n++) {
        const failed = await pool.execute({
          method: "tools/call",
          params: { name: "fail" },
          annotations: { readOnlyHint: true },
        });
        expect([failed.value.result?.["isError"], failed.serverId]).toEqual([true, "s1"]);
        const unknown = await pool.execute({ method: "tools/call", params: { name: "nobody's" } });
        expect(unknown.value).toEqual({ error: { code: -32_602, message: "Unknown tool: nobody's" } });
      }
      expect(first.calls).toHaveLength(10);
      expect(pool.list()[0]?.health.status).toBe("healthy");
      expect(pool.stats().requestStats).toMatchObject({ total: 10, successful: 10 });
    });
  });

  test("of one replica that differs are found by asking all", async () => {
    await overHttp(async ({ pool }, servers) => {
      for (const server of servers) server.changeTools([{ name: "read", text: "right" }]);
      servers[1].inject({ kind: "wrong-answer", text: "wrong" });
      const { value, dissenters } = await pool.broadcast(REQUESTS.safe, {
        serverIds: ["s1", "s2", "s3"],
        consume: (response) => Promise.resolve(textOf(response)),
        aggregator: "majority",
      });
      expect([value, dissenters]).toEqual(["right", ["s2"]]);
    });
  });
});

describe("processes", () => {
  test("three replicas under load, of which one after another is killed: no call that may be repeated fails", async () => {
    await overStdio(async ({ pool }, servers) => {
      const answered: string[] = [];
      const over = new AbortController();
      const load = Array.from({ length: 16 }, async () => {
        while (!over.signal.aborted) answered.push((await pool.execute(REQUESTS.safe)).serverId);
      });
      for (const round of [0, 1, 2, 3, 4, 5]) {
        const server = servers[round % 3] as McpStdioServer;
        const begun = server.pids.length;
        await server.kill();
        await server.started(begun + 1);
        const seen = server.calls.length;
        await server.log.until(() => server.calls.length > seen);
      }
      over.abort();
      await Promise.all(load);
      expect(new Set(answered)).toEqual(new Set(["s1", "s2", "s3"]));
      expect(pool.stats().requestStats.failed).toBe(0);
      const dead = servers.flatMap(({ pids, running }) => pids.filter((pid) => !running.includes(pid)));
      expect(dead).toHaveLength(6);
      await ended(dead);
    });
  });

  test("what must not be repeated is carried out once at most, and every call says how it ended", async () => {
    await overStdio(async ({ pool }, servers) => {
      const calls = Array.from({ length: 60 }, (_none, n) =>
        outcome(pool.execute({ method: "tools/call", params: { name: "add", arguments: { n } } })),
      );
      await servers[0].log.received("add", 3);
      await servers[0].kill();
      const outcomes = await Promise.all(calls);
      const numbers = servers.flatMap(({ log }) => log.of("add").map((entry) => (entry.arguments as { n: number }).n));
      expect(new Set(numbers).size).toBe(numbers.length);
      expect(outcomes.filter((one) => !/^s\d$/.test(one) && one !== "OUTCOME_UNKNOWN")).toEqual([]);
    });
  });

  test("a call goes only to those that have the tool", async () => {
    await overStdio(async ({ pool }) => {
      const request = { ...REQUESTS.neither, servers: new Set(["s3"]) };
      for (let n = 0; n < 4; n++) expect(await outcome(pool.execute(request))).toBe("s3");
      expect(await outcome(pool.execute({ ...REQUESTS.safe, servers: new Set() }))).toBe("NO_SERVER_AVAILABLE");
    });
  });

  test("least-connections sends what comes to those who have nothing to do", async () => {
    await using one = await createMcpServer({ transport: "stdio", name: "one" });
    await using two = await createMcpServer({ transport: "stdio", name: "two" });
    await using open = await openPool([{ command: one.command }, { command: two.command }], {
      strategy: "least-connections",
    });
    one.inject({ kind: "hang", on: "call" });
    const waiting = outcome(open.pool.execute(REQUESTS.neither, { serverId: "s1" }));
    await one.log.received("add");
    for (let n = 0; n < 3; n++) expect(await outcome(open.pool.execute(REQUESTS.neither))).toBe("s2");
    one.clearFaults();
    expect(await waiting).toBe("s1");
  });

  test("maxConnections bounds the requests of a server at one time", async () => {
    await using server = await createMcpServer({ transport: "stdio", faults: [{ kind: "hang", on: "call" }] });
    await using open = await openPool([{ command: server.command, maxConnections: 2 }]);
    const calls = Array.from({ length: 5 }, () => outcome(open.pool.execute(REQUESTS.neither)));
    await server.log.received("add", 2);
    expect(open.pool.stats().totalConnections).toMatchObject({ active: 2, max: 2 });
    expect(server.calls).toHaveLength(2);
    server.clearFaults();
    expect(await Promise.all(calls)).toEqual(["s1", "s1", "s1", "s1", "s1"]);
  });
});

test("health checks begin the sessions, and find out that a server is back", async () => {
  await using server = await createMcpServer({ transport: "http", era: "legacy" });
  await using process = await createMcpServer({ transport: "stdio" });
  await using open = await openPool([{ url: server.url }, { command: process.command }], {
    health: { failures: 1, successes: 1, recoveryInterval: "1s" },
  });
  const state = (serverId: string) => open.pool.list().find((one) => one.serverId === serverId)?.health;
  open.clock.advance(1);
  await server.log.received("ping");
  await process.log.received("server/discover");
  while (!state("s2")?.lastCheck) await new Promise((resolve) => setImmediate(resolve));
  await server.stop();
  const down = open.logged('"state":"unhealthy"');
  open.clock.advance(60_000);
  await down;
  expect(await outcome(open.pool.execute(REQUESTS.neither))).toBe("s2");
  await server.start();
  const back = new Promise((resolve) => open.pool.on("recovered", resolve));
  open.clock.advance(1_000);
  expect(await back).toEqual({ serverId: "s1" });
});
