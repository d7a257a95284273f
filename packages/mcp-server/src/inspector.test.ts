import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createWebDavServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { BIN, temporaryFolder } from "./testing/davpool-process.test-support.ts";
import { startHttpProcess } from "./testing/http-process.test-support.ts";
import { runProgram } from "./testing/run-program.test-support.ts";

/** The everything server does not end when its input does. */
const QUICK = { type: "mcp", grace: "50ms" };
const EVERYTHING = fileURLToPath(import.meta.resolve("@modelcontextprotocol/server-everything/dist/index.js"));
const INSPECTOR = createRequire(import.meta.url).resolve(
  "@modelcontextprotocol/inspector/clients/launcher/build/index.js",
);

/** Inspectors of a davpool that serves a configuration. */
const WAYS = {
  async stdio(config: object) {
    const home = await temporaryFolder();
    await writeFile(join(home.path, "davpool.config.json"), JSON.stringify(config));
    const target = ["--", process.execPath, BIN, "serve"];
    return inspectorAt(home.path, ["--transport", "stdio"], target, [home]);
  },
  async http(config: object) {
    const home = await temporaryFolder();
    const davpool = await startHttpProcess(config);
    return inspectorAt(home.path, ["--transport", "http", "--server-url", davpool.url], [], [home, davpool]);
  },
};

/** @param target what goes last on its command line. @param used what it needs, for as long as it is used. */
function inspectorAt(
  home: string,
  before: readonly string[],
  target: readonly string[],
  used: readonly AsyncDisposable[],
): AsyncDisposable & { run(...parameters: readonly string[]): Promise<{ result: Reply; findings: string[] }> } {
  const stack = new AsyncDisposableStack();
  for (const resource of used) stack.use(resource);
  return {
    async run(...parameters) {
      const words = ["--cli", ...before, "--format", "json", ...parameters, ...target];
      const { code, stdout, stderr } = await runProgram(INSPECTOR, words, home);
      expect(code, stderr).toBe(0);
      // Over stdio davpool's log comes along.
      const findings = stderr.split("\n").filter((line) => line !== "" && !line.startsWith('{"level":'));
      return { result: (JSON.parse(stdout) as { result: Reply }).result, findings };
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

// oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of every shape
type Reply = Readonly<Record<string, any>>;

describe.each(["stdio", "http"] as const)("the inspector over %s", (way) => {
  test.each(["legacy", "modern"])("lists tools without a finding and calls them: %s", async (era) => {
    await using dav = await createWebDavServer();
    dav.tree.write("/a.txt", "text");
    await using inspector = await WAYS[way]({
      store: "memory",
      pools: { files: { transport: "webdav", servers: [{ serverId: "s1", url: dav.url }] } },
    });
    const listed = await inspector.run("--protocol-era", era, "--method", "tools/list", "--strict");
    expect(listed.result.tools.map(({ name }: Reply) => name)).toEqual([
      "dav_add_server",
      "dav_list_servers",
      "dav_remove_server",
      "dav_set_active_server",
      "dav_pool_stats",
      "dav_request",
      "dav_update_server",
    ]);
    expect(listed.findings).toEqual([]);
    const call = ["--protocol-era", era, "--method", "tools/call", "--tool-name", "dav_request", "--tool-args-json"];
    const { result } = await inspector.run(...call, JSON.stringify({ method: "GET", path: "/a.txt" }));
    expect(result.structuredContent).toMatchObject({ serverId: "s1", status: 200, body: "text" });
  });
});

describe.each(["stdio", "http"] as const)("through the gateway, the inspector over %s", (way) => {
  test.each(["legacy", "modern"])("lists all tools without a finding and calls them: %s", async (era) => {
    await using dav = await createWebDavServer();
    const command = [process.execPath, EVERYTHING, "stdio"];
    await using inspector = await WAYS[way]({
      store: "memory",
      pools: {
        everything: { transport: QUICK, servers: [{ serverId: "e", command }] },
        files: { transport: "webdav", servers: [{ serverId: "s1", url: dav.url }] },
      },
    });
    const listed = await inspector.run("--protocol-era", era, "--method", "tools/list", "--strict");
    const names = listed.result.tools.map(({ name }: Reply) => name) as string[];
    expect(names).toContain("dav_request");
    expect(names.filter((name) => name.startsWith("everything__")).length).toBeGreaterThan(15);
    expect(listed.findings).toEqual([]);
    const called = await inspector.run(
      "--protocol-era",
      era,
      "--method",
      "tools/call",
      "--tool-name",
      "everything__get-sum",
      "--tool-arg",
      "a=40",
      "--tool-arg",
      "b=2",
    );
    expect(called.result.content).toEqual([{ type: "text", text: "The sum of 40 and 2 is 42." }]);
  });
});
