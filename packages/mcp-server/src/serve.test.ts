import { once } from "node:events";
import { spawn } from "node:child_process";
import { createWebDavServer } from "@davpool/testkit";
import { expect, test } from "vitest";
import { BIN, startDavpool, temporaryFolder } from "./testing/davpool-process.test-support.ts";

test("secrets are in no log line, no error and no answer", async () => {
  await using server = await createWebDavServer({ auth: { username: "alice", password: "right" } });
  await using davpool = await startDavpool({
    environment: { FROM_ENVIRONMENT: "planted-in-environment" },
    config: {
      store: "memory",
      pools: {
        files: {
          transport: "webdav",
          health: { recoveryInterval: "50ms" },
          servers: [
            { serverId: "literal", url: server.url, username: "alice", password: "planted-literal" },
            { serverId: "place", url: server.url, username: "alice", password: { env: "FROM_ENVIRONMENT" } },
            { serverId: "unset", url: server.url, username: "alice", password: { env: "NOT_SET_ANYWHERE" } },
          ],
        },
      },
    },
  });
  const replies = [];
  for (const serverId of ["literal", "place", "unset"])
    replies.push(await davpool.call("dav_request", { method: "GET", path: "/", serverId }));
  replies.push(await davpool.call("dav_list_servers"));
  // What the servers say, or that they have said so to a check before.
  for (const { value } of replies.slice(0, 2))
    expect(value.error?.code ?? value.status).toSatisfy((said) => said === 401 || said === "CREDENTIALS_REFUSED");
  expect(replies[2]?.value.error.message).toContain("NOT_SET_ANYWHERE");
  const written = JSON.stringify(replies) + davpool.stderr();
  expect(written).not.toContain("planted");
});

test.each(["SIGTERM", "SIGINT"] as const)("%s ends it in good order, with what is in flight", async (signal) => {
  await using server = await createWebDavServer();
  server.tree.write("/slow.txt", "at last");
  await using davpool = await startDavpool({
    client: "older",
    config: {
      store: "memory",
      pools: { files: { transport: "webdav", servers: [{ serverId: "s", url: server.url }] } },
    },
  });
  const slow = await server.inject({ kind: "delay", ms: Infinity, methods: ["GET"] });
  const arrived = server.nextRequest({ method: "GET" });
  const reply = davpool.call("dav_request", { method: "GET", path: "/slow.txt" });
  await arrived;
  const closing = davpool.logged("Closing");
  process.kill(davpool.pid, signal);
  await closing;
  await slow.off();
  expect((await reply).value).toMatchObject({ status: 200, body: "at last" });
});

test("standard output carries the protocol and nothing else", async () => {
  await using folder = await temporaryFolder();
  const child = spawn(process.execPath, [BIN, "serve", "--log-level", "debug"], {
    cwd: folder.path,
    env: { PATH: process.env.PATH ?? "", DAV_SERVER_URL: "http://127.0.0.1:9/", DAV_HEALTH_CHECK_ENABLED: "true" },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  const initialize = {
    jsonrpc: "2.0",
    id: 1,
    method: "initialize",
    params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "test", version: "1" } },
  };
  child.stdin.write(`this is no JSON\n${JSON.stringify(initialize)}\n`);
  await once(child.stdout, "data");
  child.stdin.end();
  const [code] = (await once(child, "exit")) as [number];
  expect(code).toBe(0);
  const messages = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { jsonrpc: string; id?: number });
  expect(messages.every(({ jsonrpc }) => jsonrpc === "2.0")).toBe(true);
  expect(messages.some(({ id }) => id === 1)).toBe(true);
});
