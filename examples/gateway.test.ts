import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createMcpServer, type McpStdioServer } from "@davpool/testkit";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { expect, test } from "vitest";

const examples = fileURLToPath(new URL(".", import.meta.url));
const davpool = fileURLToPath(new URL("bin.ts", import.meta.resolve("@davpool/mcp-server")));
const readOnly = { annotations: { readOnlyHint: true } };

/** A folder in which a program `npx` starts these servers, by a word of the package's name. */
async function withNpx(servers: Readonly<Record<string, McpStdioServer>>) {
  await mkdir(join(examples, ".blocks"), { recursive: true });
  const folder = await mkdtemp(join(examples, ".blocks", "gateway-"));
  const npx = join(folder, "npx");
  const cases = Object.entries(servers).map(
    ([word, { command }]) => `*${word}*) exec ${command.map((part) => `'${part}'`).join(" ")} ;;`,
  );
  await writeFile(npx, `#!/bin/sh\ncase "$*" in\n${cases.join("\n")}\nesac\n`);
  await chmod(npx, 0o755);
  return {
    folder,
    environment: { PATH: `${folder}:${process.env.PATH ?? ""}` },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

const names = async (client: Client) => (await client.listTools()).tools.map(({ name }) => name);
const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text;

test("the basic gateway offers both servers' tools, each under its pool's name", async () => {
  await using fs = await createMcpServer({
    transport: "stdio",
    name: "fs",
    tools: [{ name: "read_file", ...readOnly }],
  });
  await using github = await createMcpServer({ transport: "stdio", name: "github", tools: [{ name: "create_issue" }] });
  await using npx = await withNpx({ "server-filesystem": fs, "server-github": github });
  const client = new Client({ name: "test", version: "1" });
  await client.connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [davpool, "serve"],
      cwd: join(examples, "gateway-basic"),
      env: { ...npx.environment, GITHUB_TOKEN: "secret" },
      stderr: "ignore",
    }),
  );
  expect(await names(client)).toEqual(["fs__read_file", "github__create_issue"]);
  expect(textOf(await client.callTool({ name: "fs__read_file", arguments: { path: "/tmp/a" } }))).toBe(
    'fs read_file {"path":"/tmp/a"}',
  );
  await client.close();
});

test("the advanced gateway has replicas, rules, people and a record of calls", async () => {
  await using a = await createMcpServer({
    transport: "http",
    name: "a",
    tools: [{ name: "find", ...readOnly }],
    token: "s",
  });
  await using b = await createMcpServer({
    transport: "http",
    name: "b",
    tools: [{ name: "find", ...readOnly }],
    token: "s",
  });
  await using memory = await createMcpServer({
    transport: "stdio",
    name: "memory",
    era: "legacy",
    tools: [{ name: "read_graph", ...readOnly }, { name: "add_note" }, { name: "delete_note" }],
  });
  await using npx = await withNpx({ "server-memory": memory });
  // With tokens that the test knows.
  const tokens = ["alice", "bob"].map((name) => `${name}-${randomBytes(16).toString("hex")}`);
  let config = await readFile(join(examples, "gateway-advanced", "davpool.config.ts"), "utf8");
  const hashes = config.match(/sha256:[\da-f]{64}/g) ?? [];
  for (const [index, token] of tokens.entries())
    config = config.replace(hashes[index] as string, `sha256:${createHash("sha256").update(token).digest("hex")}`);
  await writeFile(join(npx.folder, "davpool.config.ts"), config);
  const child = spawn(process.execPath, [davpool, "serve", "--http", "--port", "0"], {
    cwd: npx.folder,
    env: { ...npx.environment, SEARCH_A: a.url, SEARCH_B: b.url, SEARCH_TOKEN: "s" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const gone = once(child, "exit");
  const url = await new Promise<string>((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      const [found] = /http:\/\/\S+\/mcp/.exec(said) ?? [];
      if (found !== undefined) resolve(found);
    });
    void gone.then(() => reject(new Error(said)));
  });
  const connect = async (token: string) => {
    const client = new Client({ name: "test", version: "1" });
    const headers = { authorization: `Bearer ${token}` };
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
    return client;
  };
  const [alice, bob] = await Promise.all(tokens.map(connect));
  if (!alice || !bob) throw new Error("two clients");
  expect(await names(alice)).toEqual(["search__find", "memory__recall", "memory__add_note"]);
  expect(await names(bob)).toEqual(["search__find"]);
  await a[Symbol.asyncDispose]();
  for (let call = 0; call < 4; call++)
    expect(textOf(await bob.callTool({ name: "search__find", arguments: {} }))).toBe("b find {}");
  await alice.callTool({ name: "memory__add_note", arguments: { text: "private" } });
  await expect(bob.callTool({ name: "memory__recall", arguments: {} })).rejects.toMatchObject({ code: -32_602 });
  await Promise.all([alice.close(), bob.close()]);
  child.kill();
  await gone;
  const record = (await readFile(join(npx.folder, "calls.jsonl"), "utf8")).trim().split("\n");
  const lines = record.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines.find(({ tool }) => tool === "add_note")).toMatchObject({
    pool: "memory",
    server: "local",
    principal: "alice",
    arguments: ["text"],
    outcome: "ok",
  });
  expect(record.join()).not.toContain("private");
});
