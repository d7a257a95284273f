import { MISSING_COMMAND, createMcpServer } from "@davpool/testkit";
import { StreamableHTTPClientTransport, type Client } from "@modelcontextprotocol/client";
import { describe, expect, test } from "vitest";
import { startHttpProcess } from "../testing/http-process.test-support.ts";
import { startHttpServer, type TestHttpServer } from "../testing/http-server.test-support.ts";

import { FeatureClient } from "./testing/feature-client.test-support.ts";

const stdio = (serverId: string, server: { readonly command: readonly string[] }) => ({
  serverId,
  command: server.command,
});
const mcp = (...servers: readonly object[]) => ({ transport: "mcp", servers });
const start = (config: object) => startHttpServer(config, { systemTime: true });
const names = async (client: Client) => (await client.listTools()).tools.map(({ name }) => name);
const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text;
const failure = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => error as { code: number; message: string; data: Record<string, unknown> },
  );

/** Resolves when the list of tools has changed. */
const listChange = ({ servers }: TestHttpServer) =>
  new Promise<void>((resolve) => {
    servers.onChange({ listChanged: (list) => list === "tools" && resolve(), resourceChanged() {} });
  });

const tool = (name: string) => [{ name, annotations: { readOnlyHint: true } }];

describe.each(["older", "newer"] as const)("to a client of the %s line", (line) => {
  test("a single pool looks as its server does", async () => {
    await using server = await createMcpServer({ transport: "stdio", name: "fs", tools: tool("read_file") });
    await using davpool = await start({ pools: { fs: mcp(stdio("only", server)) } });
    const client = await davpool.connect(line);
    expect(await names(client)).toEqual(["read_file"]);
    expect(textOf(await client.callTool({ name: "read_file", arguments: { path: "/tmp/a" } }))).toBe(
      'fs read_file {"path":"/tmp/a"}',
    );
  });

  test("several pools keep their names apart, and calls reach the right server", async () => {
    await using fs = await createMcpServer({ transport: "stdio", name: "fs", tools: tool("read_file") });
    await using github = await createMcpServer({ transport: "http", name: "github", tools: tool("create.issue") });
    await using davpool = await start({
      pools: { fs: mcp(stdio("fs", fs)), github: mcp({ serverId: "gh", url: github.url }) },
    });
    const client = await davpool.connect(line);
    expect(await names(client)).toEqual(["fs__read_file", "github__create-issue_98e2b767"]);
    expect(textOf(await client.callTool({ name: "github__create-issue_98e2b767", arguments: {} }))).toBe(
      "github create.issue {}",
    );
    expect(github.log.of("create.issue")).toHaveLength(1);
    expect(fs.calls).toHaveLength(0);
  });

  test("one server's death is no other's problem, and the dead one is back when it is needed", async () => {
    await using good = await createMcpServer({ transport: "stdio", name: "good", tools: tool("good_tool") });
    await using bad = await createMcpServer({
      transport: "stdio",
      name: "bad",
      tools: [{ name: "bad_tool" }],
      faults: [{ kind: "crash", after: 2 }],
    });
    await using davpool = await start({ pools: { good: mcp(stdio("g", good)), bad: mcp(stdio("b", bad)) } });
    const client = await davpool.connect(line);
    await names(client);
    for (let call = 0; call < 2; call++) await client.callTool({ name: "bad__bad_tool", arguments: {} });
    const error = await failure(client.callTool({ name: "bad__bad_tool", arguments: {} }));
    expect(error).toMatchObject({ code: -32_003, data: { code: "OUTCOME_UNKNOWN", pool: "bad", server: "b" } });
    expect(error?.message).toContain("may or may not have been carried out");
    expect(textOf(await client.callTool({ name: "good__good_tool", arguments: {} }))).toBe("good good_tool {}");
    bad.clearFaults();
    expect(textOf(await client.callTool({ name: "bad__bad_tool", arguments: {} }))).toBe("bad bad_tool {}");
  });

  test("it starts although servers are down, says which, and takes them up when they come", async () => {
    await using good = await createMcpServer({ transport: "stdio", name: "good", tools: tool("good_tool") });
    await using late = await createMcpServer({
      transport: "http",
      name: "late",
      tools: tool("late_tool"),
      faults: [{ kind: "status", status: 503, on: "initialize" }],
    });
    await using davpool = await start({
      pools: {
        good: mcp(stdio("g", good)),
        late: mcp({ serverId: "l", url: late.url }),
        gone: mcp({ serverId: "x", command: [MISSING_COMMAND] }),
      },
    });
    const client = await davpool.connect(line);
    expect(await names(client)).toEqual(["good__good_tool"]);
    expect(await failure(client.callTool({ name: "late__late_tool", arguments: {} }))).toMatchObject({
      code: -32_003,
      data: { code: "NO_SERVER_AVAILABLE", pools: [{ pool: "late", servers: [{ serverId: "l" }] }] },
    });
    const changed = listChange(davpool);
    late.clearFaults();
    await changed;
    expect(textOf(await client.callTool({ name: "late__late_tool", arguments: {} }))).toBe("late late_tool {}");
    expect(await names(client)).toEqual(["good__good_tool", "late__late_tool"]);
  });
});

test("an unknown tool is told apart from a server that is down", async () => {
  await using server = await createMcpServer({ transport: "stdio", tools: tool("a") });
  await using davpool = await start({ pools: { one: mcp(stdio("s", server)) } });
  const client = await davpool.connect("newer");
  await names(client);
  expect(await failure(client.callTool({ name: "nothing", arguments: {} }))).toMatchObject({
    code: -32_602,
    message: expect.stringContaining('There is no tool "nothing"') as string,
  });
});

test("a new configuration brings pools and takes them away, and what stays keeps its sessions", async () => {
  await using one = await createMcpServer({ transport: "stdio", name: "one", era: "legacy", tools: tool("a") });
  await using two = await createMcpServer({ transport: "stdio", name: "two", era: "legacy", tools: tool("b") });
  const pools = { one: mcp(stdio("s", one)), two: mcp(stdio("s", two)) };
  await using davpool = await startHttpProcess({ store: "memory", pools: { one: pools.one } });
  await using client = await FeatureClient.connect(
    "2.x, 2025-11-25",
    new StreamableHTTPClientTransport(new URL(davpool.url)),
  );
  expect(await names(client.client)).toEqual(["a"]);
  await client.call("a");
  const { running } = one;
  await davpool.write({ store: "memory", pools });
  const added = davpool.logged("The configuration was reloaded");
  davpool.kill("SIGHUP");
  await added;
  await client.hears("notifications/tools/list_changed");
  expect(await names(client.client)).toEqual(["one__a", "two__b"]);
  expect(textOf(await client.call("two__b"))).toBe("two b {}");
  expect(textOf(await client.call("one__a"))).toBe("one a {}");
  expect(one.running).toEqual(running);
  await davpool.write({ store: "memory", pools: { two: pools.two } });
  const removed = davpool.logged("The configuration was reloaded");
  davpool.kill("SIGHUP");
  await removed;
  expect(await names(client.client)).toEqual(["b"]);
  await one.gone();
});
