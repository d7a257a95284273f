import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createWebDavCluster } from "@davpool/testkit";
import { expect, test } from "vitest";
import { startDavpool, temporaryFolder, type DavpoolProcess } from "./testing/davpool-process.test-support.ts";

const KEY = "a key that only this test has 0123456789";

async function refused(
  davpool: DavpoolProcess,
  name: string,
  parameters: object,
): Promise<{ code: string; message: string }> {
  const { isError, value } = await davpool.call(name, parameters as Record<string, unknown>);
  expect(isError, `${name} ${JSON.stringify(parameters)} was accepted`).toBe(true);
  return value.error;
}

test("bad input to the tools is refused in words, changes nothing and sends nothing", async () => {
  await using cluster = await createWebDavCluster({ servers: 2 });
  await using davpool = await startDavpool({
    environment: { DAVPOOL_SECRET_KEY: KEY },
    config: {
      pools: {
        files: {
          transport: "webdav",
          health: { enabled: false },
          servers: [
            { serverId: "one", url: cluster.urls[0], group: "pair" },
            { serverId: "two", url: cluster.urls[1], group: "pair" },
          ],
        },
      },
    },
  });
  const before = (await davpool.call("dav_list_servers")).value;
  const get = { method: "GET", path: "/a.txt" };
  const server = { serverId: "new", url: "https://dav.example.com/" };

  const cases: readonly (readonly [string, object, string, ...string[]])[] = [
    ["dav_request", { ...get, serverId: "zwei" }, "UNKNOWN_SERVER", "one", "two"],
    ["dav_request", { ...get, serverGroup: "paar" }, "UNKNOWN_GROUP", "pair"],
    ["dav_request", { ...get, serverId: "one", serverGroup: "pair" }, "INVALID_ARGUMENTS", "serverGroup"],
    ["dav_request", { method: "GET" }, "INVALID_ARGUMENTS", "path: is missing"],
    ["dav_request", { ...get, hedaers: {} }, "INVALID_ARGUMENTS", 'Did you mean "headers"?'],
    ["dav_request", { ...get, path: 7 }, "INVALID_ARGUMENTS", "path: must be a string; got 7"],
    ["dav_request", { ...get, depth: "2" }, "INVALID_ARGUMENTS", '"0", "1", "infinity"'],
    ["dav_request", { method: "GETT", path: "/" }, "INVALID_REQUEST", "GETT", "PROPFIND"],
    ["dav_request", { method: "TRACE", path: "/" }, "INVALID_REQUEST", "TRACE"],
    ["dav_request", { ...get, path: "/../a.txt" }, "INVALID_PATH", "dot segments"],
    ["dav_request", { ...get, path: "/%2e%2e/a.txt" }, "INVALID_PATH", "%2e%2e"],
    ["dav_request", { ...get, path: "/x/..%2fa.txt" }, "INVALID_PATH", "slashes"],
    ["dav_request", { ...get, path: "/x\\..\\a.txt" }, "INVALID_PATH"],
    ["dav_request", { ...get, path: "/50%" }, "INVALID_PATH", "%25"],
    ["dav_request", { ...get, path: "http://evil.example.com/a.txt" }, "INVALID_PATH", "whole URL"],
    ["dav_request", { ...get, headers: { Authorization: "Basic x" } }, "INVALID_ARGUMENTS", "Authorization"],
    ["dav_request", { ...get, headers: { Accept: "b\r\nX-B: c" } }, "INVALID_REQUEST", "Accept"],
    ["dav_request", { method: "MOVE", path: "/a.txt" }, "INVALID_REQUEST", "Destination"],
    ["dav_request", { method: "DELETE", path: "" }, "INVALID_ARGUMENTS", "would take away everything"],
    ["dav_request", { method: "move", path: "//", headers: { Destination: "/b" } }, "INVALID_ARGUMENTS", "everything"],
    ["dav_request", { method: "MOVE", path: "/a", headers: { Destination: "/../b" } }, "INVALID_PATH"],
    ["dav_request", { method: "COPY", path: "/a", headers: { Destination: "" } }, "INVALID_ARGUMENTS", "server's base"],
    [
      "dav_request",
      { method: "MOVE", path: "/a/b/c", headers: { destination: "//%61/" } },
      "INVALID_ARGUMENTS",
      "above",
    ],
    [
      "dav_request",
      { method: "MOVE", path: "/a/b", headers: { Destination: "/a" }, serverGroup: "pair" },
      "INVALID_ARGUMENTS",
      "headers.Destination",
    ],
    [
      "dav_request",
      { method: "MOVE", path: "/a", headers: { Destination: "http://evil.example.com/b" } },
      "INVALID_PATH",
    ],
    ["dav_request", { method: "PUT", path: "/a", body: "§§", bodyEncoding: "base64" }, "INVALID_ARGUMENTS", "base64"],
    [
      "dav_request",
      { method: "PUT", path: "/a", body: "x", headers: { "If-Match": '"unknown"' } },
      "AFFINITY_UNKNOWN",
      "one, two",
    ],
    ["dav_add_server", { ...server, serverId: "one" }, "DUPLICATE_SERVER", "one"],
    ["dav_add_server", { ...server, serverId: "a__b" }, "INVALID_PROFILE", "serverId"],
    ["dav_add_server", { ...server, url: "file:///etc/passwd" }, "FORBIDDEN_ADDRESS", "http"],
    ["dav_add_server", { ...server, url: "not a url" }, "FORBIDDEN_ADDRESS"],
    ["dav_add_server", { ...server, url: "http://169.254.169.254/" }, "FORBIDDEN_ADDRESS", "allowHosts"],
    ["dav_add_server", { ...server, url: "http://localhost/" }, "FORBIDDEN_ADDRESS", "127.0.0.1"],
    ["dav_add_server", { ...server, url: "http://127.1/" }, "FORBIDDEN_ADDRESS"],
    ["dav_add_server", { ...server, url: "http://[::ffff:10.0.0.1]/" }, "FORBIDDEN_ADDRESS"],
    ["dav_add_server", { ...server, url: "https://u:hidden-in-url@dav.example.com/" }, "INVALID_PROFILE", "username"],
    [
      "dav_add_server",
      { ...server, url: "http://dav.example.com/", username: "u", password: "p" },
      "FORBIDDEN_ADDRESS",
      "https:",
    ],
    ["dav_add_server", { ...server, password: { command: ["id"] } }, "INVALID_ARGUMENTS", "password"],
    ["dav_add_server", { ...server, timeout: "1s" }, "INVALID_ARGUMENTS", "timeout"],
    ["dav_update_server", { serverId: "one", priority: 3 }, "SERVER_DECLARED", "configuration"],
    ["dav_update_server", { serverId: "three" }, "UNKNOWN_SERVER", "one, two"],
    ["dav_remove_server", { serverId: "one" }, "SERVER_DECLARED", "configuration"],
    ["dav_remove_server", { serverId: "three" }, "UNKNOWN_SERVER", "one, two"],
    ["dav_set_active_server", { serverId: "three" }, "UNKNOWN_SERVER", "one, two"],
    ["dav_set_active_server", {}, "INVALID_ARGUMENTS", "serverId"],
  ];
  for (const [name, parameters, code, ...words] of cases) {
    const error = await refused(davpool, name, parameters);
    expect(error.code, `${name} ${JSON.stringify(parameters)}: ${error.message}`).toBe(code);
    for (const word of words) expect(error.message).toContain(word);
    expect(JSON.stringify(error)).not.toContain("hidden-in-url");
  }

  expect(cluster.servers.flatMap((each) => each.requests)).toEqual([]);
  expect((await davpool.call("dav_list_servers")).value).toEqual(before);
  expect((await davpool.call("dav_pool_stats")).value.requestStats.failed).toBe(0);
  expect((await davpool.call("dav_request", { method: "PUT", path: "/a.txt", body: "alive" })).value.status).toBe(201);
  expect(davpool.stderr()).not.toContain("hidden-in-url");
});

test("with every server down, the error lists each of them and says why", async () => {
  await using cluster = await createWebDavCluster({ servers: 2 });
  await using davpool = await startDavpool({
    config: {
      store: "memory",
      pools: {
        files: {
          transport: "webdav",
          health: { enabled: false },
          failover: { type: "default", backoff: "1ms" },
          servers: cluster.urls.map((url, index) => ({ serverId: `s${index}`, url })),
        },
      },
    },
  });
  for (const server of cluster.servers) await server.stop();
  const { isError, value } = await davpool.call("dav_request", { method: "GET", path: "/" });
  expect(isError).toBe(true);
  expect(value.error).toMatchObject({
    code: "NO_SERVER_AVAILABLE",
    servers: [
      { serverId: "s0", problem: "connection refused" },
      { serverId: "s1", problem: "connection refused" },
    ],
  });
  for (const server of cluster.servers) await server.start();
  expect((await davpool.call("dav_request", { method: "PROPFIND", path: "/" })).value.status).toBe(207);
});

const empty = { pools: { files: { transport: "webdav" } } };

async function addServer(folder: string, key: string): Promise<void> {
  await using davpool = await startDavpool({ folder, config: empty, environment: { DAVPOOL_SECRET_KEY: key } });
  const { value } = await davpool.call("dav_add_server", {
    serverId: "kept",
    url: "https://dav.example.com/",
    username: "u",
    password: "planted-secret",
    healthCheckInterval: 0,
  });
  expect(value).toMatchObject({ success: true });
}

test("an added server survives a restart; its password is encrypted on disk and never shown", async () => {
  await using folder = await temporaryFolder();
  await addServer(folder.path, KEY);
  const stored = await readFile(join(folder.path, "servers.json"), "utf8");
  expect(stored).toContain("passwordEncrypted");
  expect(stored).not.toContain("planted-secret");

  await using davpool = await startDavpool({
    folder: folder.path,
    config: empty,
    environment: { DAVPOOL_SECRET_KEY: KEY },
  });
  const { text, value } = await davpool.call("dav_list_servers");
  expect(value.servers).toMatchObject([{ serverId: "kept", origin: "added" }]);
  expect(text).not.toContain("planted-secret");
  expect(davpool.stderr()).not.toContain("planted-secret");
});

test("a password is refused without a key, with the way to make one", async () => {
  await using davpool = await startDavpool({ config: empty });
  const error = await refused(davpool, "dav_add_server", {
    serverId: "kept",
    url: "https://dav.example.com/",
    username: "u",
    password: "planted-secret",
  });
  expect(error.code).toBe("STORE_KEY_MISSING");
  expect(error.message).toContain("openssl rand");
  expect((await davpool.call("dav_list_servers")).value.servers).toEqual([]);
});

test("with the wrong key davpool does not start, and the file stays as it is", async () => {
  await using folder = await temporaryFolder();
  await addServer(folder.path, KEY);
  const stored = await readFile(join(folder.path, "servers.json"), "utf8");
  await expect(
    startDavpool({
      folder: folder.path,
      config: empty,
      environment: { DAVPOOL_SECRET_KEY: "another-key-of-0123456789-abcdefghij" },
    }),
  ).rejects.toThrow(/servers\.json[\s\S]*DAVPOOL_SECRET_KEY/);
  expect(await readFile(join(folder.path, "servers.json"), "utf8")).toBe(stored);
});

test.each([
  ["truncated", (stored: string) => stored.slice(0, stored.length / 2)],
  ["corrupt", () => "\0\0 this is no store"],
])("a %s store file is kept aside, and davpool goes on", async (_kind, spoil) => {
  await using folder = await temporaryFolder();
  await addServer(folder.path, KEY);
  const spoiled = spoil(await readFile(join(folder.path, "servers.json"), "utf8"));
  await writeFile(join(folder.path, "servers.json"), spoiled);
  await using davpool = await startDavpool({
    // The newer client starts a process to find out what it speaks, which would be the one to tell.
    client: "older",
    folder: folder.path,
    config: empty,
    environment: { DAVPOOL_SECRET_KEY: KEY },
  });
  expect((await davpool.call("dav_list_servers")).value.servers).toEqual([]);
  expect((await davpool.call("dav_add_server", { serverId: "next", url: "https://dav.example.com/" })).isError).toBe(
    false,
  );
  const aside = (await readdir(folder.path)).filter((name) => name.startsWith("servers.json.corrupt"));
  expect(aside).toHaveLength(1);
  expect(await readFile(join(folder.path, aside[0] as string), "utf8")).toBe(spoiled);
  expect(davpool.stderr()).toContain(aside[0]);
});

test("a store from a newer version is left alone, and davpool does not start", async () => {
  await using folder = await temporaryFolder();
  const stored = JSON.stringify({ version: 99, servers: [] });
  await writeFile(join(folder.path, "servers.json"), stored);
  await expect(startDavpool({ folder: folder.path, config: empty })).rejects.toThrow(/version 99/);
  expect(await readFile(join(folder.path, "servers.json"), "utf8")).toBe(stored);
});
