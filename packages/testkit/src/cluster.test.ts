import { expect, test } from "vitest";
import { createWebDavCluster } from "./cluster.ts";
import { createWebDavServer } from "./server.ts";

const LOCK_BODY = `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`;

test("the servers of a cluster show the same files", async () => {
  await using cluster = await createWebDavCluster();
  expect(cluster.servers.map(({ name }) => name)).toEqual(["server-1", "server-2", "server-3"]);
  expect(new Set(cluster.urls).size).toBe(3);
  await fetch(`${cluster.urls[0]}a.txt`, { method: "PUT", body: "text" });
  const read = await fetch(`${cluster.urls[2]}a.txt`);
  expect(await read.text()).toBe("text");
  expect(read.headers.get("x-served-by")).toBe("server-3");
  expect(cluster.tree?.readText("/a.txt")).toBe("text");
});

test("with separate trees each server has its own", async () => {
  await using cluster = await createWebDavCluster({ servers: 2, tree: "separate" });
  await fetch(`${cluster.urls[0]}a.txt`, { method: "PUT", body: "text" });
  expect((await fetch(`${cluster.urls[1]}a.txt`)).status).toBe(404);
  expect(cluster.tree).toBeUndefined();
  expect(cluster.servers.map((server) => server.tree.exists("/a.txt"))).toEqual([true, false]);
});

test.each([
  { locks: undefined, elsewhere: 204 },
  { locks: "per-server", elsewhere: 204 },
  { locks: "shared", elsewhere: 423 },
] as const)("with locks $locks, a write through another server gets $elsewhere", async ({ locks, elsewhere }) => {
  await using cluster = await createWebDavCluster({ servers: 2, ...(locks === undefined ? {} : { locks }) });
  cluster.tree?.write("/a.txt", "text");
  const [owner, other] = cluster.urls;
  expect((await fetch(`${owner}a.txt`, { method: "LOCK", body: LOCK_BODY })).status).toBe(200);
  expect((await fetch(`${owner}a.txt`, { method: "PUT", body: "new" })).status).toBe(423);
  expect((await fetch(`${other}a.txt`, { method: "PUT", body: "new" })).status).toBe(elsewhere);
});

test("faults and logs of all servers are cleared at once", async () => {
  await using cluster = await createWebDavCluster({ servers: 2 });
  for (const server of cluster.servers) await server.inject({ kind: "status", status: 503 });
  expect((await fetch(cluster.urls[1] ?? "")).status).toBe(503);
  await cluster.clearFaults();
  cluster.clearRequests();
  expect((await fetch(cluster.urls[1] ?? "")).status).toBe(200);
  expect(cluster.servers.map(({ requests }) => requests.length)).toEqual([0, 1]);
});

test("a server's own options hold for all of them", async () => {
  await using cluster = await createWebDavCluster({ servers: 2, basePath: "/files", auth: { token: "t" } });
  expect(cluster.urls[1]).toMatch(/\/files\/$/);
  expect((await fetch(cluster.urls[1] ?? "")).status).toBe(401);
});

test("a port that is taken is reported", async () => {
  await using server = await createWebDavServer();
  await expect(createWebDavServer({ port: server.port })).rejects.toMatchObject({ code: "EADDRINUSE" });
});
