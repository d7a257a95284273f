import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));

const BEGIN = `
import ${JSON.stringify(import.meta.resolve("nock"))};
import { createFaultProxy, createWebDavServer } from "./src/index.ts";
const server = await createWebDavServer();
const proxy = await createFaultProxy({ target: server.url });
`;

/** Resolves when the program has ended by itself. */
async function run(program: string): Promise<string> {
  const parameters = ["--input-type=module", "-e", BEGIN + program];
  return (await promisify(execFile)(process.execPath, parameters, { cwd: PACKAGE })).stdout;
}

test.each([
  [
    "server is disposed of",
    "await server.stop(); await server[Symbol.asyncDispose](); await proxy[Symbol.asyncDispose]();",
  ],
  ["server is stopped", "await server.stop(); await proxy.stop();"],
  [
    "server has come back and is stopped",
    "await server.stop(); await server.start(); await server.stop(); await proxy.stop();",
  ],
])("a program that imports nock ends when its %s", async (_what, end) => {
  expect(await run(`${end} console.log("done");`)).toBe("done\n");
});

describe.skipIf(process.platform !== "linux")("on Linux", () => {
  test("a stopped server keeps its port in a program that imports nock", async () => {
    const program = `
    import { readFileSync } from "node:fs";
    await server.stop();
    await proxy.stop();
    const address = ":" + server.port.toString(16).toUpperCase().padStart(4, "0") + " ";
    const connections = readFileSync("/proc/net/tcp", "utf8").split("\\n");
    console.log(connections.filter((line) => line.split(address).length === 3).length);
  `;
    expect(await run(program)).toBe("1\n");
  });

  test("a program that imports nock ends although it has forgotten a server that leaves connections without a reply", async () => {
    const program = `await server.inject({ kind: "connect-timeout" }); await proxy.stop(); console.log("done");`;
    expect(await run(program)).toBe("done\n");
  });

  test("a server can leave connections without a reply in a program that imports nock", async () => {
    const program = `
    const fault = await server.inject({ kind: "connect-timeout" });
    await fault.off();
    console.log((await fetch(server.url)).status);
    await server.stop();
    await proxy.stop();
  `;
    expect(await run(program)).toBe("200\n");
  });
});
