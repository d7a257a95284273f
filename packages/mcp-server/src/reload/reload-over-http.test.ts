import { createWebDavCluster } from "@davpool/testkit";
import { Client, StreamableHTTPClientTransport, type ClientOptions } from "@modelcontextprotocol/client";
import { expect, test } from "vitest";
import { startHttpProcess } from "../testing/http-process.test-support.ts";

const RELOADS = 200;
/** Clients of each era. */
const CLIENTS = 32;

async function connect(url: string, mode: "legacy" | "auto"): Promise<Client> {
  const options: ClientOptions = { versionNegotiation: { mode } };
  const client = new Client({ name: "test", version: "1" }, options);
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  return client;
}

interface Answered {
  readonly serverId: string;
  readonly status: number;
  readonly body: string;
}

test("two hundred reloads while 64 clients of both eras make calls over HTTP fail none of them", async () => {
  await using cluster = await createWebDavCluster({ servers: 3, logLimit: 100 });
  const configuration = (strategy: string, ...servers: readonly number[]) => ({
    store: "memory",
    pools: {
      files: {
        transport: "webdav",
        strategy,
        servers: servers.map((number) => ({ serverId: `server-${number}`, url: cluster.urls[number - 1] })),
      },
    },
  });
  await using davpool = await startHttpProcess(configuration("priority", 1));
  const clients = await Promise.all(
    (["legacy", "auto"] as const).flatMap((mode) => Array.from({ length: CLIENTS }, () => connect(davpool.url, mode))),
  );
  const sessions = clients.filter(({ transport }) => (transport as StreamableHTTPClientTransport).sessionId);
  expect([sessions.length, clients.length]).toEqual([CLIENTS, 2 * CLIENTS]);

  const stop = new AbortController();
  let calls = 0;
  const failures: unknown[] = [];
  const served = new Set<string>();
  const caller = async (client: Client, number: number) => {
    for (let turn = 0; !stop.signal.aborted; turn++) {
      const path = `/file-${number}.txt`;
      const request = turn % 4 === 0 ? { method: "PUT", path, body: `turn ${turn}` } : { method: "GET", path };
      try {
        const answer = await client.callTool({ name: "dav_request", arguments: request });
        const { serverId, status, body } = answer.structuredContent as Answered;
        served.add(serverId);
        expect(`${status} ${body}`).toMatch(request.method === "GET" ? `200 turn ${turn - (turn % 4)}` : /^20[14] /);
      } catch (error) {
        failures.push(error);
      }
      calls++;
    }
  };
  const callers = clients.map(caller);
  const kinds = ["round-robin", "random", "least-connections", "response-time"];
  const sets = [[1, 2], [1, 2, 3], [3, 2], [2]];
  for (let turn = 1; turn <= RELOADS; turn++) {
    // Every turn has other servers, every second one another strategy as well.
    const strategy = kinds[Math.floor(turn / 2) % kinds.length] as string;
    await davpool.write(configuration(strategy, ...(sets[turn % sets.length] as number[])));
    const reloaded = davpool.logged("The configuration was reloaded (SIGHUP): pool files has ");
    davpool.kill("SIGHUP");
    await reloaded;
  }
  stop.abort();
  await Promise.all(callers);
  expect(failures).toEqual([]);
  expect([...served].toSorted()).toEqual(["server-1", "server-2", "server-3"]);
  const [client] = clients as [Client, ...Client[]];
  const { structuredContent } = await client.callTool({ name: "dav_pool_stats", arguments: {} });
  expect(structuredContent).toMatchObject({ requestStats: { total: calls, successful: calls, failed: 0 } });
  // So that nobody takes a run in which little was called for a proof.
  expect(calls).toBeGreaterThan(RELOADS * 10);
  await Promise.all(clients.map((each) => each.close()));
});
