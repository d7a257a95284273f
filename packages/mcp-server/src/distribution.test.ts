import { openPools, resolveConfig, type Pool } from "@davpool/core";
import { createWebDavCluster } from "@davpool/testkit";
import type { WebDavWire } from "@davpool/transport-webdav";
import { expect, test } from "vitest";
import { builtIns } from "./built-ins.ts";

const REQUESTS = 300;

/** How many of 300 reads, twelve at a time, each of three equal servers answers. */
async function shares(strategy: string): Promise<readonly number[]> {
  await using cluster = await createWebDavCluster({ servers: 3 });
  cluster.tree?.write("/a.txt", "text");
  const config = await resolveConfig(
    {
      store: "memory",
      pools: {
        files: {
          transport: "webdav",
          strategy,
          health: { enabled: false },
          servers: cluster.urls.map((url, index) => ({ serverId: `s${index}`, url })),
        },
      },
    },
    { baseDirectory: "/", plugins: builtIns },
  );
  await using open = await openPools(config, { random: seeded() });
  const pool = open.pools.get("files") as Pool<WebDavWire>;
  let left = REQUESTS;
  const worker = async () => {
    while (left-- > 0) await pool.execute({ method: "GET", path: "/a.txt" }, { consume: ({ body }) => body.text() });
  };
  await Promise.all(Array.from({ length: 12 }, worker));
  return cluster.servers.map((server) => server.requests.length);
}

/** The same random numbers in every run (mulberry32). */
function seeded(): () => number {
  let state = 20_260_101;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

test("round-robin gives three equal servers 100 of 300 requests each", async () => {
  expect(await shares("round-robin")).toEqual([100, 100, 100]);
});

test("random gives each of them 100, more or less 30", async () => {
  for (const share of await shares("random")) {
    expect(share).toBeGreaterThanOrEqual(70);
    expect(share).toBeLessThanOrEqual(130);
  }
});

test.each(["least-connections", "response-time"])("%s leaves none of them idle", async (strategy) => {
  const counts = await shares(strategy);
  expect(counts.reduce((sum, count) => sum + count)).toBe(REQUESTS);
  for (const count of counts) expect(count).toBeGreaterThan(0);
});
