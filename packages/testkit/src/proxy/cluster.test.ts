import { Agent, request } from "node:http";
import { expect, test } from "vitest";
import { createWebDavCluster } from "../cluster.ts";
import { createFaultProxy } from "./fault-proxy.ts";
import type { ProxyFault } from "./proxy-fault.ts";

const ROUNDS = 60;
const FAULTS: readonly ProxyFault[] = [
  { kind: "blackhole" },
  { kind: "half-open", afterBytes: 100 },
  { kind: "half-open", direction: "both" },
  { kind: "reset", afterBytes: 100 },
  { kind: "latency", ms: Infinity },
  { kind: "slicer", bytes: 50 },
  { kind: "refuse" },
];

test("a cluster behind proxies outlives kills and faults under load, and leaves nothing behind", async () => {
  await using cluster = await createWebDavCluster({ servers: 5, logLimit: 20 });
  cluster.tree?.write("/a.txt", "text");
  await using stack = new AsyncDisposableStack();
  const proxies = await Promise.all(
    cluster.servers.map(async ({ url }) => stack.use(await createFaultProxy({ target: url }))),
  );
  const agent = new Agent({ keepAlive: true });
  const running = new AbortController();
  let answers = 0;
  const readers = proxies.flatMap(({ url }) =>
    Array.from({ length: 4 }, async () => {
      while (!running.signal.aborted) if ((await statusOf(`${url}a.txt`, agent)) === 200) answers += 1;
    }),
  );

  for (let round = 0; round < ROUNDS; round += 1) {
    const [killed, faulty] = [round % 5, (round * 3) % 5];
    const [server, proxy] = [cluster.servers[killed], proxies[faulty]];
    await server?.stop();
    const fault = await proxy?.inject(FAULTS[round % FAULTS.length] ?? { kind: "refuse" });
    const unharmed = cluster.servers.find((_, index) => index !== killed && index !== faulty);
    await unharmed?.nextRequest(({ status }) => status === 200);
    await fault?.off();
    await server?.start();
  }

  running.abort();
  await Promise.all(readers);
  expect(answers).toBeGreaterThan(ROUNDS);
  expect(Math.max(...cluster.servers.map(({ requests }) => requests.length))).toBeLessThanOrEqual(20);
  expect(await Promise.all(proxies.map(({ url }) => statusOf(`${url}a.txt`)))).toEqual([200, 200, 200, 200, 200]);
  agent.destroy();
  await Promise.all([...proxies, ...cluster.servers].map((each) => each.disconnected()));
  expect(proxies.map(({ connections }) => connections)).toEqual([0, 0, 0, 0, 0]);
});

/** The answer's status, or undefined when there was none. */
function statusOf(url: string, agent?: Agent): Promise<number | undefined> {
  return new Promise((resolve) => {
    request(url, { agent: agent ?? false }, (response) => {
      response.resume().once("close", () => resolve(response.complete ? response.statusCode : undefined));
      response.once("error", () => {});
    })
      .once("error", () => resolve(undefined))
      .end();
  });
}
