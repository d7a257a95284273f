import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { isTooNew } from "../../../scripts/bundle-command.ts";
import { BIN, temporaryFolder } from "./testing/davpool-process.test-support.ts";

const { engines } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  engines: { node: string };
};
const OLDEST = engines.node.replace(">=", "");

/** Runs the command after a script that makes the platform poorer. */
async function davpoolAfter(script: string, parameters: readonly string[], input = "") {
  await using folder = await temporaryFolder();
  const before = join(folder.path, "before.cjs");
  await writeFile(before, script);
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--require", before, BIN, ...parameters], {
    cwd: folder.path,
    env: { PATH: process.env.PATH, DAV_SERVER_URL: "http://127.0.0.1:9/" },
    encoding: "utf8",
    input,
  });
  return { status, stdout, stderr };
}

describe("on the oldest platform that is promised", () => {
  test("every file of the command can be read", async () => {
    const files = globSync(join(dirname(BIN), "*.js"));
    expect(files.length).toBeGreaterThan(10);
    const unreadable = await Promise.all(files.map(async (file) => ((await isTooNew(file)) ? [file] : [])));
    expect(unreadable.flat()).toEqual([]);
  });

  test("the command finds all that it needs", async () => {
    // What Node.js 24 has and 22 has not, of what is there for every program.
    const script = `
      for (const name of ["AsyncDisposableStack", "CloseEvent", "DisposableStack", "Float16Array", "SuppressedError", "URLPattern"])
        delete globalThis[name];
      delete Error.isError;
      delete Intl.DurationFormat;
      delete Iterator.prototype[Symbol.dispose];
      delete Math.f16round;
      delete Promise.try;
      delete RegExp.escape;
    `;
    const clientInfo = { name: "test", version: "1" };
    const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo };
    const hello = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params });
    const { status, stdout, stderr } = await davpoolAfter(script, ["serve"], `${hello}\n`);
    expect(stderr).not.toContain("ReferenceError");
    expect(JSON.parse(stdout)).toMatchObject({ id: 1, result: { serverInfo: { name: "davpool" } } });
    expect(status).toBe(0);
  });
});

describe("a platform's version", () => {
  const pretend = (version: string) =>
    `Object.defineProperty(process, "versions", { value: { ...process.versions, node: ${JSON.stringify(version)} } });`;

  test.each(["22.18.9", "20.20.2", "18.0.0", "4.9.1"])("%s is too old, which the command says", async (version) => {
    expect(await davpoolAfter(pretend(version), ["check"])).toEqual({
      status: 1,
      stdout: "",
      stderr: `davpool needs Node.js ${OLDEST} or later, and this is ${version}.\n`,
    });
  });

  test.each([`${OLDEST}.0`, "23.0.0", "100.1.0"])("%s is not", async (version) => {
    const { status, stdout } = await davpoolAfter(pretend(version), ["--version"]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: "0.1.0\n" });
  });

  test("can be looked at by platforms that know nothing of the rest", async () => {
    expect(await isTooNew(BIN, "es2015")).toBe(false);
    expect(readFileSync(BIN, "utf8")).not.toMatch(/^import\b/m);
  });
});
