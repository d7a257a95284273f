import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { StdioClientTransport as OlderTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { expect, test } from "vitest";
import { BIN, temporaryFolder } from "../testing/davpool-process.test-support.ts";
import { FeatureClient, KINDS } from "./testing/feature-client.test-support.ts";
import { FEATURES } from "./testing/features.test-support.ts";

/** The everything server does not end when its input does. */
const QUICK = { type: "mcp", grace: "50ms" };
const EVERYTHING = fileURLToPath(import.meta.resolve("@modelcontextprotocol/server-everything/dist/index.js"));
const COMMAND = [process.execPath, EVERYTHING, "stdio"] as const;

test.each(KINDS)("over standard input, a client of SDK %s has what it has directly", async (kind) => {
  await using folder = await temporaryFolder();
  await writeFile(
    join(folder.path, "davpool.config.json"),
    JSON.stringify({
      store: "memory",
      pools: {
        everything: { transport: QUICK, servers: [{ serverId: "e", command: COMMAND }] },
        more: { transport: QUICK, servers: [{ serverId: "m", command: COMMAND }] },
      },
    }),
  );
  const connect = async (command: string, args: readonly string[], as: typeof kind) => {
    const parameters = {
      command,
      args: [...args],
      cwd: folder.path,
      env: { PATH: process.env.PATH ?? "" },
      stderr: "ignore" as const,
    };
    return FeatureClient.connect(
      as,
      as === "1.x, 2025-11-25" ? new OlderTransport(parameters) : new StdioClientTransport(parameters),
    );
  };
  await using direct = await connect(
    COMMAND[0],
    COMMAND.slice(1),
    kind === "2.x, 2026-07-28" ? "2.x, 2025-11-25" : kind,
  );
  await using through = await connect(process.execPath, [BIN, "serve"], kind);
  for (const { name, run, notIn } of FEATURES) {
    if (notIn?.[kind] !== undefined) continue;
    expect([name, await run(through, "everything__")]).toEqual([name, await run(direct, "")]);
  }
});
