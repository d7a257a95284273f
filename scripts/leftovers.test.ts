import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir } from "node:fs/promises";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const VITEST = fileURLToPath(new URL("vitest.mjs", import.meta.resolve("vitest/package.json")));
const CONFIGURATION = fileURLToPath(new URL("testing/vitest.config.ts", import.meta.url));

// Whom a process has started is read from /proc.
test.skipIf(process.platform !== "linux").each([
  { what: "that fails", name: "fails" },
  { what: "that times out", name: "times out" },
  { what: "that is interrupted by SIGINT", name: "hangs", signal: "SIGINT" },
  { what: "that is interrupted by SIGTERM", name: "hangs", signal: "SIGTERM" },
] as const)("a test $what leaves neither processes nor files behind", async ({ name, ...more }) => {
  const folder = await mkdtemp(join(tmpdir(), "davpool-leftovers-"));
  // Each process that is left holds a connection.
  const closed: Promise<unknown>[] = [];
  const { promise: allConnected, resolve } = Promise.withResolvers<void>();
  const server = createServer((socket: Socket) => {
    closed.push(once(socket.on("error", () => {}).resume(), "close"));
    if (closed.length === 4) resolve();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  const run = spawn(process.execPath, [VITEST, "run", "--config", CONFIGURATION, "-t", name], {
    env: { ...process.env, TMPDIR: folder, LEFTOVERS_PORT: String(port) },
    stdio: "ignore",
  });
  const ended = once(run, "exit");
  await allConnected;
  if ("signal" in more) run.kill(more.signal);
  const [code] = (await ended) as [number];
  expect(code).not.toBe(0);
  await Promise.all(closed);
  expect(closed).toHaveLength(4);
  expect(await readdir(folder)).toEqual([]);
  server.close();
});
