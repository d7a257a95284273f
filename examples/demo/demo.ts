import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createWebDavCluster } from "@davpool/testkit";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

/*
 * The main job, from start to end: three WebDAV servers, `davpool serve` in a process of its own, and an MCP client
 * that uses them as one. Whatever the transcript tells has been checked; the first thing that is not so ends the demo
 * with exit code 1.
 */

type Json = Record<string, unknown>;
interface Answer extends Json {
  readonly serverId: string;
  readonly status: number;
  readonly body: string;
}
interface Server {
  readonly serverId: string;
  readonly priority: number;
  readonly group: string;
  readonly health: { readonly status: string };
}

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const say = (text = "") => process.stdout.write(`${text}\n`);
const chapter = (text: string) => say(`\n${text}`);

function check(told: string, holds: boolean): void {
  if (!holds) throw new Error(`Not as told: ${told}`);
  say(`  ✓ ${told}`);
}

await using cluster = await createWebDavCluster({ servers: 3 });
const [eu, us, backup] = cluster.servers;
if (!eu || !us || !backup) throw new Error("The three servers did not start.");

const client = new Client({ name: "demo", version: "1.0.0" }, { versionNegotiation: { mode: "auto" } });
await client.connect(
  new StdioClientTransport({
    command: process.execPath,
    args: [
      path("../../packages/mcp-server/src/bin.ts"),
      "serve",
      "--config",
      path("davpool.config.ts"),
      "--log-level",
      "error",
    ],
    env: { ...(process.env as Record<string, string>), EU_URL: eu.url, US_URL: us.url, BACKUP_URL: backup.url },
  }),
);

async function call<T>(name: string, parameters: Json = {}): Promise<T> {
  const { structuredContent, content, isError } = await client.callTool({ name, arguments: parameters });
  if (isError === true) throw new Error(`${name} failed: ${JSON.stringify(content)}`);
  return structuredContent as T;
}
const request = (parameters: Json) => call<Answer>("dav_request", parameters);
const servers = async () => (await call<{ servers: Server[] }>("dav_list_servers")).servers;

async function read(times: number): Promise<Map<string, number>> {
  const shares = new Map<string, number>();
  for (let turn = 0; turn < times; turn++) {
    const { serverId, status, body } = await request({ method: "GET", path: "/notes/hello.txt" });
    if (status !== 200 || body !== "Hello from the pool") throw new Error(`Read ${status} from ${serverId}: ${body}`);
    shares.set(serverId, (shares.get(serverId) ?? 0) + 1);
  }
  for (const [serverId, count] of [...shares].toSorted(([one], [other]) => one.localeCompare(other)))
    say(`  ${serverId.padEnd(8)}${"█".repeat(count)} ${count}`);
  return shares;
}

/** Waits for health checks to find out; gives up after ten seconds. */
async function waitFor(serverId: string, status: string): Promise<boolean> {
  for (let tries = 0; tries < 200; tries++) {
    if ((await servers()).some((server) => server.serverId === serverId && server.health.status === status))
      return true;
    await delay(50);
  }
  return false;
}

try {
  say("Three WebDAV servers run on this machine, and davpool serves them as one over MCP.");

  chapter("1. The agent lists the servers.");
  for (const { serverId, priority, group, health } of await servers())
    say(`  ${serverId.padEnd(8)}priority ${priority}  group ${group.padEnd(9)}${health.status}`);
  check(
    "three servers, all of them healthy",
    (await servers()).every(({ health }) => health.status === "healthy"),
  );

  chapter("2. It writes a file and reads it back.");
  await request({ method: "MKCOL", path: "/notes" });
  const written = await request({ method: "PUT", path: "/notes/hello.txt", body: "Hello from the pool" });
  check(`PUT /notes/hello.txt answered ${written.status}`, written.status === 201);
  const back = await request({ method: "GET", path: "/notes/hello.txt" });
  check("GET gives the same text, byte for byte", back.body === "Hello from the pool");

  chapter("3. Twenty reads go to the two servers of priority 1 in turn; the backup rests.");
  const balanced = await read(20);
  check("ten each", balanced.get("eu") === 10 && balanced.get("us") === 10);

  chapter("4. One request writes to every server of a group.");
  const { results } = await call<{ results: { serverId: string; status: number; success: boolean }[] }>("dav_request", {
    method: "PUT",
    path: "/notes/everywhere.txt",
    body: "Written to the group",
    serverGroup: "primary",
  });
  for (const result of results) say(`  ${result.serverId.padEnd(8)}${result.success ? "written" : "failed"}`);
  check("both members report success", results.length === 2 && results.every((result) => result.success));

  chapter("5. Server eu dies. The next reads do not notice.");
  await eu.stop();
  const failedOver = await read(10);
  check("ten of ten reads answered, all by us", failedOver.get("us") === 10);

  chapter("6. Server us dies too. The backup of priority 2 steps in, for writes as well.");
  await us.stop();
  const saved = await request({ method: "PUT", path: "/notes/saved.txt", body: "Still here" });
  check(`PUT answered ${saved.status}, by ${saved.serverId}`, saved.status === 201 && saved.serverId === "backup");
  const onBackup = await read(5);
  check("five of five reads answered, all by backup", onBackup.get("backup") === 5);

  chapter("7. Both come back. Health checks find out, and reads return to them.");
  await Promise.all([eu.start(), us.start()]);
  check("eu is healthy again", await waitFor("eu", "healthy"));
  check("us is healthy again", await waitFor("us", "healthy"));
  const recovered = await read(20);
  check("ten each, as before", recovered.get("eu") === 10 && recovered.get("us") === 10);

  chapter("8. The statistics tell what happened.");
  const { requestStats } = await call<{ requestStats: Record<string, number> }>("dav_pool_stats");
  const { total = 0, successful = 0, failed = 0, failoverCount = 0 } = requestStats;
  say(`  requests ${total}, successful ${successful}, failed ${failed}`);
  check("no request failed", failed === 0 && total === successful);
  check("calls moved to another server while two were down", failoverCount >= 2);

  say("\nTwo of three servers died and came back, and every request was answered.");
} catch (error) {
  process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  await client.close();
}
