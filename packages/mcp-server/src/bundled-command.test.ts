import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { createWebDavServer } from "@davpool/testkit";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { expect, test } from "vitest";
import { BIN, temporaryFolder } from "./testing/davpool-process.test-support.ts";

const CORE = new URL("../../core/src/index.ts", import.meta.url).href;

test("the command in one piece serves, with a plugin that was made with another copy of core", async () => {
  await using folder = await temporaryFolder();
  await using dav = await createWebDavServer();
  dav.tree.write("/a.txt", "text");
  await writeFile(
    join(folder.path, "davpool.config.mts"),
    `import { DavpoolError, definePlugin } from ${JSON.stringify(CORE)};
const policy = definePlugin({
  kind: "policy",
  name: "quota",
  create: () => ({
    before({ request }: { request: { method: string } }) {
      if (request.method === "PUT") throw new DavpoolError("QUOTA_SPENT", "There is no room left.");
      return undefined;
    },
  }),
});
export default {
  store: "memory",
  pools: {
    files: { transport: "webdav", policies: [policy], servers: [{ serverId: "s1", url: ${JSON.stringify(dav.url)} }] },
  },
};
`,
  );
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [BIN, "--version"], { cwd: folder.path });
  expect(stdout).toMatch(/^\d+\.\d+\.\d+/);
  const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode: "auto" } });
  await client.connect(
    new StdioClientTransport({ command: process.execPath, args: [BIN, "serve"], cwd: folder.path, stderr: "pipe" }),
  );
  const ask = (parameters: object) => client.callTool({ name: "dav_request", arguments: { ...parameters } });
  expect((await ask({ method: "GET", path: "/a.txt" })).structuredContent).toMatchObject({ status: 200, body: "text" });
  const refused = await ask({ method: "PUT", path: "/a.txt", body: "x" });
  expect(JSON.stringify(refused.content)).toContain("QUOTA_SPENT");
  await client.close();
});
