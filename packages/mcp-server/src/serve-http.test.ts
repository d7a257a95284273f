import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createWebDavServer } from "@davpool/testkit";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { expect, test } from "vitest";
import { createToken } from "./identity/index.ts";
import { BIN, temporaryFolder } from "./testing/davpool-process.test-support.ts";
import { startHttpProcess } from "./testing/http-process.test-support.ts";

async function connect(url: string, token?: string): Promise<Client> {
  const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode: "auto" } });
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  return client;
}

const poolOf = (...urls: readonly string[]) => ({
  store: "memory",
  pools: {
    files: { transport: "webdav", servers: urls.map((url, index) => ({ serverId: `s${index + 1}`, url })) },
  },
});

test("SIGHUP takes up new servers and new tokens, and a file that is wrong changes nothing", async () => {
  await using one = await createWebDavServer();
  await using two = await createWebDavServer();
  const [alice, bob] = [createToken(), createToken()];
  const identity = (...tokens: readonly object[]) => ({ identity: { tokens } });
  const first = { principal: "alice", hash: alice.hash };
  await using davpool = await startHttpProcess({ ...poolOf(one.url), ...identity(first) });
  const client = await connect(davpool.url, alice.token);
  const servers = async () => {
    const { structuredContent } = await client.callTool({ name: "dav_pool_stats", arguments: {} });
    return (structuredContent as { totalServers: number }).totalServers;
  };
  expect(await servers()).toBe(1);
  await expect(connect(davpool.url, bob.token)).rejects.toThrow(/401|nauthorized/);

  await davpool.write({ ...poolOf(one.url, two.url), ...identity(first, { principal: "bob", hash: bob.hash }) });
  const reloaded = davpool.logged("The configuration was reloaded (SIGHUP)");
  davpool.kill("SIGHUP");
  await reloaded;
  expect(await servers()).toBe(2);
  await (await connect(davpool.url, bob.token)).close();

  await davpool.write({ store: "memory", pools: { files: { transport: "webdaf" } } });
  const refused = davpool.logged("the one in use stays");
  davpool.kill("SIGHUP");
  await refused;
  expect(await servers()).toBe(2);
  await client.close();
});

test("a reload that would let strangers in is refused, and the one in use stays", async () => {
  const { token, hash } = createToken();
  const identity = { tokens: [{ principal: "alice", hash }] };
  await using davpool = await startHttpProcess({ ...poolOf(), identity });
  await davpool.write(poolOf("http://127.0.0.1:9/"));
  const refused = davpool.logged("is gone, and whoever has no token would come in");
  davpool.kill("SIGHUP");
  await refused;
  await expect(connect(davpool.url)).rejects.toThrow(/401|nauthorized/);
  const client = await connect(davpool.url, token);
  const { structuredContent } = await client.callTool({ name: "dav_pool_stats", arguments: {} });
  expect(structuredContent).toMatchObject({ totalServers: 0 });
  await client.close();
});

test.each([{ publicUrl: "https://files.example.com/mcp" }, { trustProxy: true }])(
  "http %j without identity is refused at the start and by a reload",
  async (http) => {
    await expect(startHttpProcess({ ...poolOf(), http })).rejects.toThrow(/identity.*is missing/s);
    await using davpool = await startHttpProcess(poolOf());
    await davpool.write({ ...poolOf(), http });
    const refused = davpool.logged("anybody could use your servers");
    davpool.kill("SIGHUP");
    await refused;
    await (await connect(davpool.url)).close();
  },
);

test("--watch takes up what is written to the file", async () => {
  await using one = await createWebDavServer();
  await using two = await createWebDavServer();
  await using davpool = await startHttpProcess(poolOf(one.url), "--watch");
  const reloaded = davpool.logged("The configuration was reloaded (the file changed)");
  await davpool.write(poolOf(one.url, two.url));
  await reloaded;
  const client = await connect(davpool.url);
  const { structuredContent } = await client.callTool({ name: "dav_pool_stats", arguments: {} });
  expect(structuredContent).toMatchObject({ totalServers: 2 });
  await client.close();
});

test("SIGTERM ends it in good order", async () => {
  await using one = await createWebDavServer();
  await using davpool = await startHttpProcess(poolOf(one.url));
  const client = await connect(davpool.url);
  const held = await one.inject({ kind: "delay", ms: Infinity, methods: ["GET"] });
  const slow = client.callTool({ name: "dav_request", arguments: { method: "GET", path: "/" } });
  await one.received(1, { method: "GET" });
  const closing = davpool.logged("Closing");
  davpool.kill("SIGTERM");
  await closing;
  await held.off();
  expect((await slow).structuredContent).toMatchObject({ status: 200 });
  expect(await davpool.exit).toBe(0);
});

test("SIGTERM cuts off what takes too long, and whoever waits for it is told", async () => {
  await using one = await createWebDavServer();
  await using davpool = await startHttpProcess({ ...poolOf(one.url), http: { drain: 100 } });
  const client = await connect(davpool.url);
  await using _ = await one.inject({ kind: "delay", ms: Infinity, methods: ["GET", "PUT"] });
  const call = (parameters: object) =>
    client.callTool({ name: "dav_request", arguments: { path: "/a", ...parameters } });
  const slow = [call({ method: "GET" }), call({ method: "PUT", body: "" })];
  await one.received(2, ({ method }) => method !== "OPTIONS");
  const cutOff = davpool.logged("are cut off");
  davpool.kill("SIGTERM");
  await cutOff;
  const codes = (await Promise.all(slow)).map(({ content }) => JSON.stringify(content));
  expect(codes).toEqual([expect.stringContaining("POOL_CLOSED"), expect.stringContaining("OUTCOME_UNKNOWN")]);
  expect(await davpool.exit).toBe(0);
});

test.each([
  [["--host", "0.0.0.0"], 1, "--allow-anonymous"],
  [["--port", "99999"], 2, "0 to 65535"],
])("serve --http %j is refused, and no server is asked", async (parameters, code, message) => {
  await using one = await createWebDavServer();
  const folder = await temporaryFolder();
  await writeFile(join(folder.path, "davpool.config.json"), JSON.stringify(poolOf(one.url)));
  const child = spawn(process.execPath, [BIN, "serve", "--http", ...parameters], { cwd: folder.path });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  expect(await once(child, "exit").then(([exit]) => exit as number)).toBe(code);
  expect(stderr).toContain(message);
  expect(one.requests).toEqual([]);
  await folder[Symbol.asyncDispose]();
});
