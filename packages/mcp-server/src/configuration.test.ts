import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readConfiguration } from "./configuration.ts";
import { temporaryFolder } from "./testing/davpool-process.test-support.ts";

async function problemOf(config: object): Promise<string> {
  await using folder = await temporaryFolder();
  await writeFile(join(folder.path, "davpool.config.json"), JSON.stringify({ store: "memory", ...config }));
  try {
    await readConfiguration({ directory: folder.path, environment: {} });
    return "none";
  } catch (error) {
    return (error as Error).message;
  }
}

const mcp = { transport: "mcp", servers: [{ serverId: "s", command: ["server"] }] };

test.each([
  ["a.b", "a-b"],
  ["a", "a__b"],
])("pools %s and %s, whose tools could have one name, are a mistake", async (one, other) => {
  expect(await problemOf({ pools: { [one]: mcp, [other]: mcp } })).toContain("give one of the two another name");
});

test("pools that only begin alike are none", async () => {
  expect(await problemOf({ pools: { a: mcp, ab: mcp, "a-b": mcp } })).toBe("none");
});

test.each([
  ["upstream", { upstream: { command: "server" } }, 'pools: { tools: { transport: "mcp"'],
  ["upstreams", { upstreams: [{ command: "server" }] }, 'pools: { tools: { transport: "mcp"'],
  ["proxy", { proxy: { transport: "stdio" } }, "davpool serve --http"],
  ["upstreams in a pool", { pools: { a: { ...mcp, upstreams: [] } } }, 'pools: { tools: { transport: "mcp"'],
  ["stdio", { pools: { a: { ...mcp, transport: "stdio" } } }, 'write transport: "mcp" for the pool'],
  ["stdio as a type", { pools: { a: { ...mcp, transport: { type: "stdio" } } } }, 'write transport: "mcp"'],
  [
    "stdio of a server",
    { pools: { a: { transport: "mcp", servers: [{ serverId: "s", command: ["x"], transport: "stdio" }] } } },
    'write transport: "mcp" for the pool',
  ],
])("%s, from another gateway's configuration, is answered with the new form", async (_what, config, hint) => {
  expect(await problemOf(config)).toContain(hint);
});
