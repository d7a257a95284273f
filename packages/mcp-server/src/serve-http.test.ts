import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createWebDavServer } from "@davpool/testkit";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { expect, test } from "vitest";
import { createToken } from "./identity/index.ts";
import { BIN, temporaryFolder } from "./testing/davpool-process.test-support.ts";

interface HttpProcess extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
  write(config: object): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** Resolves when a log line that holds `text` is written, from now on. */
  logged(text: string): Promise<void>;
  readonly exit: Promise<number>;
  readonly stderr: () => string;
}

/** Runs `davpool serve --http` as an operator would. */
async function startHttp(config: object, ...parameters: readonly string[]): Promise<HttpProcess> {
  const folder = await temporaryFolder();
  const file = join(folder.path, "davpool.config.json");
  const write = (written: object) => writeFile(file, JSON.stringify({ store: "memory", ...written }));
  await write(config);
  const child = spawn(process.execPath, [BIN, "serve", "--http", "--port", "0", ...parameters], {
    cwd: folder.path,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  const looking = new Set<() => void>();
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
    for (const look of looking) look();
  });
  const exit = once(child, "exit").then(([code]) => code as number);
  const found = <T>(look: () => T | undefined): Promise<T> =>
    new Promise((resolve, reject) => {
      const again = () => {
        const value = look();
        if (value === undefined) return;
        looking.delete(again);
        resolve(value);
      };
      looking.add(again);
      again();
      void exit.then(() => reject(new Error(`davpool ended:\n${stderr}`)));
    });
  const url = await found(() => /at (http:\/\/[^ ]+\/mcp)\./.exec(stderr)?.[1]);
  return {
    pid: child.pid as number,
    url,
    write,
    kill: (signal) => void child.kill(signal),
    logged(text) {
      const from = stderr.length;
      return found(() => (stderr.includes(text, from) ? true : undefined)).then(() => undefined);
    },
    exit,
    stderr: () => stderr,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exit;
      await folder[Symbol.asyncDispose]();
    },
  };
}

async function connect(url: string, token?: string): Promise<Client> {
  const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode: "auto" } });
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  return client;
}

const poolOf = (...urls: readonly string[]) => ({
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
  await using davpool = await startHttp({ ...poolOf(one.url), ...identity(first) });
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

  await davpool.write({ pools: { files: { transport: "webdaf" } } });
  const refused = davpool.logged("the one in use stays");
  davpool.kill("SIGHUP");
  await refused;
  expect(await servers()).toBe(2);
  await client.close();
});

test("--watch takes up what is written to the file", async () => {
  await using one = await createWebDavServer();
  await using two = await createWebDavServer();
  await using davpool = await startHttp(poolOf(one.url), "--watch");
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
  await using davpool = await startHttp(poolOf(one.url));
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

test.each([
  [["--host", "0.0.0.0"], 1, "--allow-anonymous"],
  [["--port", "99999"], 2, "0 to 65535"],
])("serve --http %j is refused", async (parameters, code, message) => {
  const folder = await temporaryFolder();
  await writeFile(join(folder.path, "davpool.config.json"), JSON.stringify({ store: "memory", ...poolOf() }));
  const child = spawn(process.execPath, [BIN, "serve", "--http", ...parameters], { cwd: folder.path });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  expect(await once(child, "exit").then(([exit]) => exit as number)).toBe(code);
  expect(stderr).toContain(message);
  await folder[Symbol.asyncDispose]();
});
