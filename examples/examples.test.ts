import { globSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openPools, resolveConfig, type Pool } from "@davpool/core";
import { builtIns, readConfiguration } from "@davpool/mcp-server";
import { createWebDavCluster } from "@davpool/testkit";
import type { WebDavWire } from "@davpool/transport-webdav";
import { expect, test } from "vitest";
import fillFirst from "./custom-strategy/fill-first.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));
const configurations = globSync("*/davpool.config.ts", { cwd: folder }).toSorted();

test.each(configurations.filter((name) => !name.startsWith("demo")))("%s is right", async (name) => {
  const { pools } = await readConfiguration({ file: name, directory: folder, environment: {} });
  expect(pools.length).toBeGreaterThan(0);
});

test("the strategy of our own fills the first server before it takes the next", async () => {
  await using cluster = await createWebDavCluster({ servers: 2 });
  const config = await resolveConfig(
    {
      store: "memory",
      pools: {
        files: {
          transport: "webdav",
          strategy: { type: "fill-first", limit: 3 },
          health: { enabled: false },
          servers: cluster.urls.map((url, index) => ({ serverId: `s${index}`, url })),
        },
      },
    },
    { baseDirectory: folder, plugins: [...builtIns, fillFirst] },
  );
  await using open = await openPools(config);
  const pool = open.pools.get("files") as Pool<WebDavWire>;
  const read = () => pool.execute({ method: "OPTIONS", path: "/" }, { consume: ({ body }) => body.text() });
  const answers = await Promise.all(Array.from({ length: 5 }, read));
  expect(answers.map(({ serverId }) => serverId).toSorted()).toEqual(["s0", "s0", "s0", "s1", "s1"]);
});
