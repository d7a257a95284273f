import { createMcpServer, createWebDavServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { createToken } from "../identity/index.ts";
import { startHttpServer } from "../testing/http-server.test-support.ts";
import { prefixed } from "./addresses.ts";
import { Names } from "./names.ts";
import { filterOf } from "./tool-filter.ts";

const readOnly = { annotations: { readOnlyHint: true } };
const mcp = (server: { readonly url: string }) => ({ transport: "mcp", servers: [{ serverId: "s", url: server.url }] });
const start = (config: object) => startHttpServer(config, { systemTime: true });

describe("the tools of a pool", () => {
  test("can be chosen, renamed and described by the operator, and what is not shown cannot be called", async () => {
    await using server = await createMcpServer({
      transport: "http",
      name: "up",
      tools: ["read_file", "read_secret", "write_file"].map((name) => ({ name })),
    });
    await using davpool = await start({
      pools: { up: mcp(server) },
      gateway: {
        pools: {
          up: {
            tools: {
              allow: ["read_*"],
              deny: ["*_secret"],
              rename: { read_file: "open" },
              descriptions: { read_file: "Opens a file." },
            },
          },
        },
      },
    });
    const client = await davpool.connect("newer");
    const { tools } = await client.listTools();
    expect(tools.map(({ name, description }) => [name, description])).toEqual([["open", "Opens a file."]]);
    const result = await client.callTool({ name: "open", arguments: { path: "/a" } });
    expect(result.content).toEqual([{ type: "text", text: 'up read_file {"path":"/a"}' }]);
    for (const name of ["read_secret", "write_file", "read_file"])
      await expect(client.callTool({ name, arguments: {} })).rejects.toMatchObject({ code: -32_602 });
    expect(server.calls).toHaveLength(1);
  });

  test.each([
    { namespace: "auto", name: "read" },
    { namespace: "always", name: "only__read" },
  ])("of a pool that is alone are called $name with namespace $namespace", async ({ namespace, name }) => {
    await using server = await createMcpServer({ transport: "http", tools: [{ name: "read" }] });
    await using davpool = await start({ pools: { only: mcp(server) }, gateway: { namespace } });
    const client = await davpool.connect("older");
    expect((await client.listTools()).tools.map((tool) => tool.name)).toEqual([name]);
  });

  test("change with the configuration, and clients are told", async () => {
    await using one = await createMcpServer({
      transport: "http",
      name: "one",
      era: "legacy",
      tools: [{ name: "a" }],
    });
    await using davpool = await start({ pools: { up: mcp(one) } });
    const client = await davpool.connect("newer");
    expect((await client.listTools()).tools.map((tool) => tool.name)).toEqual(["a"]);
    const changed = new Promise<void>((resolve) => {
      davpool.servers.onChange({ listChanged: (list) => list === "tools" && resolve(), resourceChanged() {} });
    });
    one.changeTools([{ name: "a" }, { name: "b" }]);
    await changed;
    expect((await client.listTools()).tools.map((tool) => tool.name)).toEqual(["a", "b"]);
  });
});

test("principals see the pools and tools of their scopes, and call no others", async () => {
  await using files = await createMcpServer({
    transport: "http",
    name: "files",
    tools: [{ name: "read", ...readOnly }, { name: "write" }],
  });
  await using secret = await createMcpServer({
    transport: "http",
    name: "secret",
    tools: [{ name: "open", ...readOnly }],
  });
  const alice = createToken();
  await using davpool = await start({
    pools: { files: mcp(files), secret: mcp(secret) },
    gateway: { pools: { files: { trustHints: true } } },
    identity: {
      tokens: [{ principal: "alice", hash: alice.hash, scopes: ["readers"] }],
      scopes: { readers: { pools: ["files"], readOnly: true } },
    },
  });
  const client = await davpool.connect("newer", { authorization: `Bearer ${alice.token}` });
  expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(["files__read"]);
  await client.callTool({ name: "files__read", arguments: {} });
  for (const name of ["files__write", "secret__open"])
    await expect(client.callTool({ name, arguments: {} })).rejects.toMatchObject({ code: -32_602 });
  expect(secret.calls).toHaveLength(0);
  expect(files.calls).toHaveLength(1);
});

test("whoever may only read has no tool of servers whose hints nobody trusts", async () => {
  await using liar = await createMcpServer({
    transport: "http",
    name: "liar",
    tools: [{ name: "purge", ...readOnly }],
  });
  const rita = createToken();
  await using davpool = await start({
    pools: { liar: mcp(liar) },
    identity: {
      tokens: [{ principal: "rita", hash: rita.hash, scopes: ["readers"] }],
      scopes: { readers: { readOnly: true } },
    },
  });
  const client = await davpool.connect("newer", { authorization: `Bearer ${rita.token}` });
  expect((await client.listTools()).tools).toEqual([]);
  await expect(client.callTool({ name: "purge", arguments: {} })).rejects.toMatchObject({ code: -32_602 });
  expect(liar.calls).toHaveLength(0);
});

test("a scope that names tools opens no resources, templates, prompts or pools beside them", async () => {
  await using server = await createMcpServer({ transport: "http", name: "docs", tools: [{ name: "read" }] });
  const tokens = { tools: createToken(), some: createToken() };
  await using davpool = await start({
    pools: { docs: mcp(server) },
    gateway: { namespace: "always" },
    identity: {
      tokens: [
        { principal: "tom", hash: tokens.tools.hash, scopes: ["tools"] },
        { principal: "sam", hash: tokens.some.hash, scopes: ["some"] },
      ],
      scopes: {
        tools: { tools: ["docs__read"] },
        some: { resources: ["docs+file:///a*"], prompts: ["docs__greet"] },
      },
    },
  });
  const tom = await davpool.connect("newer", { authorization: `Bearer ${tokens.tools.token}` });
  expect((await tom.listTools()).tools.map(({ name }) => name)).toEqual(["docs__read"]);
  expect((await tom.listResources()).resources).toEqual([]);
  expect((await tom.listResourceTemplates()).resourceTemplates).toEqual([]);
  expect((await tom.listPrompts()).prompts).toEqual([]);
  for (const uri of ["docs+file:///a.txt", "davpool://pools/docs"])
    await expect(tom.readResource({ uri })).rejects.toThrow(/There is no resource/);
  await expect(tom.getPrompt({ name: "docs__greet" })).rejects.toThrow(/There is no prompt/);

  const sam = await davpool.connect("newer", { authorization: `Bearer ${tokens.some.token}` });
  expect((await sam.listTools()).tools).toEqual([]);
  expect((await sam.listPrompts()).prompts.map(({ name }) => name)).toEqual(["docs__greet"]);
  expect((await sam.readResource({ uri: "docs+file:///a.txt" })).contents).toHaveLength(1);
  for (const uri of ["docs+file:///b.txt", "docs+file:///a/../b.txt", "docs+file:///a/%2e%2E/b.txt"])
    await expect(sam.readResource({ uri })).rejects.toThrow(/There is no resource/);
});

test("a WebDAV pool beside them keeps its tools' names", async () => {
  await using server = await createMcpServer({ transport: "http", tools: [{ name: "read" }] });
  await using dav = await createWebDavServer();
  await using davpool = await start({
    pools: { up: mcp(server), files: { transport: "webdav", servers: [{ serverId: "d", url: dav.url }] } },
  });
  const client = await davpool.connect("newer");
  const names = (await client.listTools()).tools.map(({ name }) => name);
  expect(names).toContain("up__read");
  expect(names).toContain("dav_request");
});

test("patterns match whole names, and only * is special", () => {
  const wanted = filterOf({ allow: ["get_*", "a.b"], deny: ["get_(x)"] });
  expect(["get_", "get_it", "a.b"].map(wanted)).toEqual([true, true, true]);
  expect(["forget_it", "axb", "get_(x)", "get"].map(wanted)).toEqual([false, false, false, false]);
});

test("names are given once, whatever they look like", () => {
  const names = new Names();
  const taken = ["a.b", "a-b", "a b", "", "x".repeat(80), "x".repeat(81)].map((name) => names.take("p", name));
  expect(new Set(taken).size).toBe(taken.length);
  for (const name of taken) expect(name).toMatch(/^[\w-]{1,64}$/);
  expect(new Names().take(undefined, "")).toMatch(/^_[\da-f]{8}$/);
});

test("addresses lead back to where they came from", () => {
  const schemes = new Set<string>();
  const pools = ["Notes", "notes", "my_pool", "7up"].map((pool) => prefixed(pool, schemes));
  const uris = ["file:///a b", "demo://x/{y}", "urn:a:b", ""];
  const shown = pools.flatMap(({ shown: show }) => uris.map(show));
  expect(new Set(shown).size).toBe(pools.length * uris.length);
  for (const [index, { shown: show }] of pools.entries())
    for (const uri of uris)
      expect(pools.map(({ original }) => original(show(uri)))).toEqual(
        pools.map((_, at) => (at === index ? uri : undefined)),
      );
  // As URLs are, whoever writes them down.
  expect(new URL(pools[0]?.shown("file:///a") ?? "").href).toBe("notes+file:///a");
});
