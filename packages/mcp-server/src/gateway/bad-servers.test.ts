import { MISSING_COMMAND, createMcpServer, type McpFault, type McpStdioServer, type McpTool } from "@davpool/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startDavpool } from "../testing/davpool-process.test-support.ts";
import { startHttpServer, type TestHttpServer } from "../testing/http-server.test-support.ts";

const GOOD: readonly McpTool[] = [{ name: "good_tool", annotations: { readOnlyHint: true } }];

const textOf = (result: object) => (result as { content: [{ text: string }] }).content[0].text;

const failure = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => error as { code: number; message: string; data: Record<string, unknown> },
  );

/** A gateway to a good server, and to a pool `bad` with these servers. */
async function beside(
  bad: object,
  options: object = {},
): Promise<TestHttpServer & { names(): Promise<string[]>; works(): Promise<void> }> {
  const good = await createMcpServer({ transport: "stdio", name: "good", tools: GOOD });
  const davpool = await startHttpServer(
    {
      pools: {
        good: { transport: "mcp", servers: [{ serverId: "g", command: good.command }] },
        bad: { transport: { type: "mcp", ...options }, servers: [bad] },
      },
    },
    { systemTime: true },
  );
  const client = await davpool.connect("newer");
  return {
    ...davpool,
    names: async () => (await client.listTools()).tools.map(({ name }) => name),
    async works() {
      const result = await client.callTool({ name: "good__good_tool", arguments: {} });
      expect(result.content).toEqual([{ type: "text", text: "good good_tool {}" }]);
    },
    async [Symbol.asyncDispose]() {
      await davpool[Symbol.asyncDispose]();
      await good[Symbol.asyncDispose]();
    },
  };
}

describe("a server that does not come up leaves others alone, and is named", () => {
  test.each<{
    readonly what: string;
    readonly faults?: readonly McpFault[];
    readonly command?: readonly string[];
    readonly said: RegExp;
  }>([
    {
      what: "never answers initialize",
      faults: [{ kind: "hang", on: "initialize" }],
      said: /no session within 2000 ms; raise startTimeout/,
    },
    {
      what: "is not to be found",
      command: [MISSING_COMMAND],
      said: /was not found; install it, or give its whole path/,
    },
    { what: "exits at once", faults: [{ kind: "exit-at-once", code: 3 }], said: /exited with code 3/ },
    { what: "dies when it is greeted", faults: [{ kind: "crash-before-ready" }], said: /exited with code/ },
    { what: "is no MCP server", command: ["/bin/echo", "hello"], said: /exited with code 0/ },
  ])("because it $what", async ({ faults, command, said }) => {
    await using server = await createMcpServer({ transport: "stdio", faults: faults ?? [] });
    await using davpool = await beside({ serverId: "b", command: command ?? server.command }, { startTimeout: "2s" });
    expect(await davpool.names()).toEqual(["good__good_tool"]);
    await davpool.works();
    const client = await davpool.connect("older");
    const error = await failure(client.callTool({ name: "bad__anything", arguments: {} }));
    expect(error).toMatchObject({ code: -32_003, data: { pools: [{ pool: "bad", servers: [{ serverId: "b" }] }] } });
    const about = davpool.lines.filter(({ fields }) => JSON.stringify(fields).includes('"bad"'));
    expect(JSON.stringify(davpool.lines)).toMatch(said);
    expect(about.length).toBeGreaterThan(0);
    await davpool.works();
  });
});

describe("an answer that is none", () => {
  test.each<{ readonly what: string; readonly fault: McpFault; readonly said: RegExp }>([
    { what: "a line of 10 MB", fault: { kind: "long-line" }, said: /longestMessage/ },
    { what: "half a message", fault: { kind: "crash", after: 0 }, said: /may or may not have been carried out/ },
    { what: "an error of its own", fault: { kind: "error", code: -32_050, message: "on fire" }, said: /on fire/ },
  ])("$what is told to who asked, and to nobody else", async ({ fault, said }) => {
    await using server = await createMcpServer({ transport: "stdio", name: "bad", tools: [{ name: "add" }] });
    await using davpool = await beside({ serverId: "b", command: server.command }, { longestMessage: 1_048_576 });
    expect(await davpool.names()).toEqual(["good__good_tool", "bad__add"]);
    server.inject(fault);
    const client = await davpool.connect("newer");
    const error = await failure(client.callTool({ name: "bad__add", arguments: {} }));
    expect(error?.message).toMatch(said);
    expect(error?.data).toMatchObject(
      fault.kind === "error" ? { "davpool/source": { pool: "bad", server: "b" } } : { pool: "bad", server: "b" },
    );
    await davpool.works();
  });

  test("garbage between the messages is passed over", async () => {
    await using server = await createMcpServer({
      transport: "stdio",
      name: "bad",
      tools: [{ name: "add" }],
      faults: [{ kind: "garbage" }],
    });
    await using davpool = await beside({ serverId: "b", command: server.command });
    expect(await davpool.names()).toEqual(["good__good_tool", "bad__add"]);
    expect(JSON.stringify(davpool.lines)).toContain("what is no MCP message");
  });
});

describe.each(["legacy", "modern"] as const)("names that clients cannot take, from a %s server", (era) => {
  const long = "x".repeat(100);
  let server: McpStdioServer;
  let davpool: Awaited<ReturnType<typeof beside>>;
  beforeAll(async () => {
    server = await createMcpServer({
      transport: "stdio",
      name: "bad",
      era,
      tools: [
        { name: "same", text: "first" },
        { name: "same", text: "second" },
        { name: "a.b", text: "dot" },
        { name: "a-b", text: "dash" },
        { name: "ünï cödé/slash", text: "odd" },
        { name: `${long}1`, text: "long 1" },
        { name: `${long}2`, text: "long 2" },
        { name: "with__underscores", text: "underscores" },
        { name: "good__good_tool", text: "not the other pool's" },
        { name: "broken", inputSchema: { type: "string" } },
        { name: "worse", inputSchema: 7 as never },
      ],
    });
    davpool = await beside({ serverId: "b", command: server.command });
  });
  afterAll(async () => {
    await davpool[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  test("become such that they can, each once, and lead to the right tool", async () => {
    const names = await davpool.names();
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    const client = await davpool.connect("newer");
    const said = new Map<string, string>();
    for (const name of names.filter((one) => one.startsWith("bad"))) {
      const result = await client.callTool({ name, arguments: {} });
      said.set(textOf(result), name);
    }
    expect([...said.keys()].toSorted()).toEqual(
      ["first", "dot", "dash", "odd", "long 1", "long 2", "underscores", "not the other pool's"].toSorted(),
    );
    expect(said.get("dash")).toBe("bad__a-b");
    expect(said.get("dot")).toMatch(/^bad__a-b_[\da-f]{8}$/);
    expect(said.get("underscores")).toBe("bad__with__underscores");
    await davpool.works();
  });

  test("and entries that the protocol does not allow are left out, with a line in the log", async () => {
    await davpool.names();
    const warned = davpool.lines.filter(({ message }) => message.includes("not as the protocol has it"));
    expect(warned.map(({ fields }) => fields?.["name"])).toEqual(["broken", "worse"]);
    expect(warned[0]?.fields).toMatchObject({ pool: "bad", list: "tools" });
  });
});

test("ids with two underscores are refused, and say why", async () => {
  await expect(
    startDavpool({
      config: {
        store: "memory",
        pools: { a__b: { transport: "mcp", servers: [{ serverId: "s", command: ["true"] }] } },
      },
    }),
  ).rejects.toThrow(/a__b/);
});

test("a call takes no longer than its pool allows", async () => {
  await using server = await createMcpServer({ transport: "http", tools: GOOD });
  await using davpool = await startHttpServer(
    {
      pools: {
        up: {
          transport: { type: "mcp", sessions: "shared" },
          deadline: "300ms",
          servers: [{ serverId: "s", url: server.url }],
        },
      },
    },
    { systemTime: true },
  );
  const client = await davpool.connect("older");
  await client.listTools();
  server.inject({ kind: "hang", on: "call" });
  expect(await failure(client.callTool({ name: "good_tool", arguments: {} }))).toMatchObject({
    data: { code: expect.stringMatching(/DEADLINE_EXCEEDED|NO_SERVER_AVAILABLE/) as string },
  });
  await client.close();
});

test("a server that says nothing delays neither the first list for long nor calls to other pools", async () => {
  const tools = (name: string) => [{ name, annotations: { readOnlyHint: true } }];
  await using good = await createMcpServer({ transport: "http", name: "good", tools: tools("one") });
  await using mute = await createMcpServer({ transport: "http", name: "mute", tools: tools("two") });
  const hang = mute.inject({ kind: "hang", on: "initialize" });
  const pool = (url: string) => ({ transport: "mcp", servers: [{ serverId: "s", url }] });
  await using davpool = await startHttpServer({ pools: { good: pool(good.url), mute: pool(mute.url) } });
  const client = await davpool.connect("older");
  await good.log.received("resources/templates/list");
  const listing = client.listTools();
  await new Promise((resolve) => setImmediate(resolve));
  davpool.clock.advance(2_000);
  expect((await listing).tools.map(({ name }) => name)).toEqual(["good__one"]);
  // Time stands still from now on.
  expect(textOf(await client.callTool({ name: "good__one", arguments: {} }))).toBe("good one {}");
  const missing = await failure(client.callTool({ name: "good__two", arguments: {} }));
  expect(missing?.code).toBe(-32_602);
  const changed = new Promise<void>((resolve) => {
    client.fallbackNotificationHandler = ({ method }) => {
      if (method === "notifications/tools/list_changed") resolve();
      return Promise.resolve();
    };
  });
  hang.off();
  await changed;
  expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(["good__one", "mute__two"]);
});

test("a tool of a pool with a dot in its name that is down is said to be away, not to be missing", async () => {
  await using davpool = await startHttpServer(
    {
      pools: {
        "my.tools": { transport: "mcp", servers: [{ serverId: "s", command: [MISSING_COMMAND] }] },
        other: { transport: "mcp", servers: [{ serverId: "s", command: [MISSING_COMMAND] }] },
      },
    },
    { systemTime: true },
  );
  const client = await davpool.connect("older");
  const error = await failure(client.callTool({ name: "my-tools__run", arguments: {} }));
  expect(error).toMatchObject({ code: -32_003, data: { pools: [{ pool: "my.tools" }] } });
});
