import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { createWebDavServer } from "@davpool/testkit";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { describe, expect, test } from "vitest";
import { startHttpProcess } from "../testing/http-process.test-support.ts";
import { FeatureClient, KINDS, type ClientKind } from "./testing/feature-client.test-support.ts";
import { FEATURES } from "./testing/features.test-support.ts";

const PAGE = fileURLToPath(new URL("../../../../docs/gateway-features.md", import.meta.url));
/** The everything server does not end when its input does. */
const QUICK = { type: "mcp", grace: "50ms" };
const EVERYTHING = fileURLToPath(import.meta.resolve("@modelcontextprotocol/server-everything/dist/index.js"));
const STDIO = [process.execPath, EVERYTHING, "stdio"] as const;

/** The server over HTTP, in a process of its own. */
async function startEverything(): Promise<{ readonly url: string } & AsyncDisposable> {
  const port = await freePort();
  const child = spawn(process.execPath, [EVERYTHING, "streamableHttp"], {
    env: { PATH: process.env.PATH ?? "", PORT: String(port) },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const gone = once(child, "exit");
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (chunk: Buffer) => chunk.includes("listening") && resolve());
    void gone.then(() => reject(new Error("the server ended")));
  });
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    async [Symbol.asyncDispose]() {
      child.kill();
      await gone;
    },
  };
}

/** The server cannot be told to take any that is free. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** What became of each feature, by its name. */
async function outcomes(
  connect: () => Promise<FeatureClient>,
  prefix: string,
  kind: ClientKind,
): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>();
  for (const { name, run, notIn } of FEATURES) {
    if (notIn?.[kind] !== undefined) continue;
    // What one leaves behind is no concern of the next.
    await using client = await connect();
    found.set(name, await run(client, prefix).catch((error: unknown) => `failed: ${String(error)}`));
  }
  return found;
}

const rows: string[][] = [];

describe.each(["stdio", "http"] as const)("the everything server over %s", (over) => {
  test.each(KINDS)("does for a client of SDK %s what it does directly", async (kind) => {
    await using everything = await startEverything();
    await using dav = await createWebDavServer();
    const server = over === "stdio" ? { command: STDIO } : { url: everything.url };
    await using davpool = await startHttpProcess({
      store: "memory",
      pools: {
        everything: { transport: QUICK, servers: [{ serverId: "e", ...server }] },
        files: { transport: "webdav", servers: [{ serverId: "f", url: dav.url }] },
      },
    });
    const to = (url: string, as: ClientKind) => () =>
      FeatureClient.connect(as, new StreamableHTTPClientTransport(new URL(url)));
    // The server itself speaks the older protocol only.
    const directKind = kind === "2.x, 2026-07-28" ? "2.x, 2025-11-25" : kind;
    const direct = await outcomes(to(everything.url, directKind), "", kind);
    const through = await outcomes(to(davpool.url, kind), "everything__", kind);
    for (const { name, notIn } of FEATURES) {
      const why = notIn?.[kind];
      const same = why !== undefined || isDeepStrictEqual(through.get(name), direct.get(name));
      rows.push([over, kind, name, why ?? (same ? "as directly" : "differs")]);
      if (why === undefined) expect([name, through.get(name)]).toEqual([name, direct.get(name)]);
    }
    await using client = await to(davpool.url, kind)();
    const names = (await client.client.listTools()).tools.map((tool) => tool.name);
    expect(names.filter((name) => name.startsWith("dav_"))).toContain("dav_request");
    const stats = await client.call("dav_pool_stats");
    expect(stats["structuredContent"]).toMatchObject({ totalServers: 1 });
  });
});

test("the page that tells of it is true", async () => {
  const kinds = ["stdio", "http"].flatMap((over) => KINDS.map((kind) => ({ over, kind })));
  const head = ["Feature", ...kinds.map(({ over, kind }) => `${over === "stdio" ? "stdio" : "HTTP"}, ${kind}`)];
  const lines = FEATURES.map(({ name }) => [
    name,
    ...kinds.map(({ over, kind }) => rows.find((row) => row[0] === over && row[1] === kind && row[2] === name)?.[3]),
  ]);
  const table = [head, head.map(() => "---"), ...lines].map((row) => `| ${row.join(" | ")} |`).join("\n");
  const page = `# The everything server behind the gateway

\`@modelcontextprotocol/server-everything\` offers every feature of the protocol. Each of them was tried directly, and through \`davpool serve --http\` beside a WebDAV pool: by how davpool reaches the server, and by the client's SDK and protocol. This page is written by a test.

${table}
`;
  if (process.env.UPDATE_GATEWAY_FEATURES !== undefined) await writeFile(PAGE, page);
  expect(page).toBe(await readFile(PAGE, "utf8").catch(() => ""));
});
