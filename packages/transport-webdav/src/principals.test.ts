import { isDavpoolError, type Answer, type CallOptions, type Log, type Pool } from "@davpool/core";
import { createWebDavCluster, createWebDavServer, type LoggedRequest, type WebDavServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { openPool } from "./testing/pool.test-support.ts";
import type { WebDavRequest, WebDavResponse, WebDavWire } from "./wire.ts";

interface Read {
  readonly status: number;
  readonly text: string;
}

function execute(
  pool: Pool<WebDavWire>,
  principal: string | undefined,
  request: WebDavRequest,
  options: CallOptions = {},
): Promise<Answer<Read>> {
  return pool.execute(request, {
    ...options,
    caller: principal === undefined ? {} : { principal },
    consume: async ({ status, body }: WebDavResponse) => ({ status, text: await body.text() }),
  });
}

async function problem(call: Promise<unknown>): Promise<Error & { code: string }> {
  try {
    await call;
  } catch (error) {
    if (isDavpoolError(error)) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

const basic = (username: string, password: string) =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;

function people(count: number): Record<string, { username: string; password: string }> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      `p${index}`,
      { username: `user${index}`, password: `hunter2-${index}` },
    ]),
  );
}

/** Whose requests came over each of a server's connections. */
function authorsBySocket({ requests }: WebDavServer): ReadonlyMap<number, ReadonlySet<string | undefined>> {
  const authors = new Map<number, Set<string | undefined>>();
  for (const { connection, headers } of requests)
    authors.set(connection, (authors.get(connection) ?? new Set()).add(headers.authorization));
  return authors;
}

function recordingLog(): { readonly log: Log; readonly text: () => string } {
  const lines: unknown[] = [];
  const write = (...line: readonly unknown[]) => void lines.push(line);
  return { log: { debug: write, info: write, warn: write, error: write }, text: () => JSON.stringify(lines) };
}

/** The person whom a path and a body name, as the credentials of the request have it. */
const ownerOf = ({ path }: LoggedRequest) => /^\/(p\d+)-/.exec(path)?.[1];

describe("fifty principals at once", () => {
  test("each send exactly their own credentials, and never over one socket with another", async () => {
    await using cluster = await createWebDavCluster({ servers: 2 });
    const principals = people(50);
    const { log, text } = recordingLog();
    await using open = await openPool(
      cluster.urls,
      {
        credentials: { type: "principals", principals },
        servers: cluster.urls.map((url, index) => ({ serverId: `s${index + 1}`, url, maxConnections: 8 })),
      },
      {},
      { log },
    );
    const rounds = Array.from({ length: 6 }, (_, round) => round);
    const calls = Object.keys(principals).flatMap((who) =>
      rounds.map(async (round) => {
        const path = `/${who}-${round}.txt`;
        const marker = `${who} round ${round}`;
        await execute(open.pool, who, { method: "PUT", path, body: marker });
        const { value } = await execute(open.pool, who, { method: "GET", path });
        expect(value).toEqual({ status: 200, text: marker });
      }),
    );
    await Promise.all(calls);

    const requests = cluster.servers.flatMap((server) => server.requests);
    expect(requests).toHaveLength(600);
    for (const request of requests) {
      const { username = "", password = "" } = principals[ownerOf(request) ?? ""] ?? {};
      expect(request.headers.authorization).toBe(basic(username, password));
    }
    for (const server of cluster.servers) {
      const sockets = authorsBySocket(server);
      expect(sockets.size).toBeGreaterThanOrEqual(50);
      for (const authors of sockets.values()) expect(authors.size).toBe(1);
    }
    const { totalConnections } = open.pool.stats();
    const connections = cluster.servers.reduce((sum, server) => sum + server.connections, 0);
    expect(totalConnections).toEqual({ active: 0, idle: connections, max: 16 });
    expect(text()).not.toContain("hunter2");
  });

  test("are never more at a server than its maxConnections", async () => {
    await using server = await createWebDavServer();
    const principals = people(50);
    await using open = await openPool([server.url], {
      credentials: { type: "principals", principals },
      serverDefaults: { maxConnections: 4 },
    });
    server.tree.write("/a", "text");
    let most = 0;
    const watch = () => (most = Math.max(most, open.pool.stats().totalConnections.active));
    await Promise.all(
      Object.keys(principals).map(async (who) => {
        await execute(open.pool, who, { method: "GET", path: "/a" }).finally(watch);
      }),
    );
    expect(most).toBeLessThanOrEqual(4);
    expect(server.requests).toHaveLength(50);
  });

  test("leave no sockets behind when they have gone", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "text");
    await using open = await openPool([server.url], {
      transport: { type: "webdav", idleTimeout: "1h" },
      credentials: { type: "principals", principals: people(50) },
    });
    for (let person = 0; person < 50; person++) await execute(open.pool, `p${person}`, { method: "GET", path: "/a" });
    expect([server.connections, open.pool.stats().totalConnections.idle]).toEqual([50, 50]);
    open.clock.advance(60_000);
    await execute(open.pool, "p0", { method: "GET", path: "/a" });
    open.clock.advance(61_000);
    await server.disconnected(1);
    expect([server.connections, open.pool.stats().totalConnections.idle]).toEqual([1, 1]);
    open.clock.advance(60_000);
    await server.disconnected();
    expect(open.pool.stats().totalConnections).toEqual({ active: 0, idle: 0, max: 10 });
    expect((await execute(open.pool, "p7", { method: "GET", path: "/a" })).value.text).toBe("text");
  });
});

test("of three hundred principals, those who were there last keep their sockets", async () => {
  await using server = await createWebDavServer();
  server.tree.write("/a", "text");
  await using open = await openPool([server.url], {
    credentials: { type: "principals", principals: people(300) },
  });
  for (let person = 0; person < 300; person++) await execute(open.pool, `p${person}`, { method: "GET", path: "/a" });
  await server.disconnected(256);
  expect(open.pool.stats().totalConnections.idle).toBe(256);
  await execute(open.pool, "p250", { method: "GET", path: "/a" });
  expect(server.connectionsAccepted).toBe(300);
  await execute(open.pool, "p0", { method: "GET", path: "/a" });
  expect(server.connectionsAccepted).toBe(301);
});

describe("a server that asks for credentials", () => {
  const auth = { username: "alice", password: "hunter2" };

  test("decides by those of the principal; where they are refused, the other server is asked, and the last 401 is the answer", async () => {
    await using server = await createWebDavServer({ auth });
    await using other = await createWebDavServer({ auth });
    server.tree.write("/a", "text");
    const { log, text } = recordingLog();
    await using open = await openPool(
      [server.url, other.url],
      {
        credentials: {
          type: "principals",
          principals: { alice: auth, bob: { username: "bob", password: "hunter3" } },
        },
      },
      {},
      { log },
    );
    for (let turn = 0; turn < 3; turn++) {
      expect((await execute(open.pool, "alice", { method: "GET", path: "/a" })).value.text).toBe("text");
      expect((await execute(open.pool, "bob", { method: "GET", path: "/a" })).value.status).toBe(401);
    }
    expect([server.requests.length, other.requests.length]).toEqual([6, 3]);
    expect(open.pool.list().map(({ health }) => health.status)).toEqual(["healthy", "healthy"]);
    expect(text()).not.toMatch(/hunter/);
    expect(JSON.stringify([open.pool.list(), open.pool.stats()])).not.toMatch(/hunter/);
  });

  test("is not asked for whoever is not named, nor for nobody", async () => {
    await using cluster = await createWebDavCluster({ servers: 2 });
    await using open = await openPool(cluster.urls, {
      credentials: { type: "principals", principals: { alice: auth } },
      servers: cluster.urls.map((url, index) => ({ serverId: `s${index + 1}`, url, ...auth })),
    });
    for (const who of ["mallory", "Alice", "__proto__", "", undefined]) {
      const error = await problem(execute(open.pool, who, { method: "GET", path: "/a" }));
      expect(error.code).toBe("NO_CREDENTIALS");
      expect(`${error.message} ${JSON.stringify(error)}`).not.toMatch(/hunter/);
    }
    for (const server of cluster.servers) expect([server.requests.length, server.connectionsAccepted]).toEqual([0, 0]);
    expect(open.pool.list().map(({ attempts, health }) => [attempts.total > 5, health.status])).toEqual([
      [false, "healthy"],
      [false, "healthy"],
    ]);
  });

  test("is asked with its profile's for the others where that is configured, on sockets of their own", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "text");
    await using open = await openPool([server.url], {
      credentials: {
        type: "principals",
        otherwise: "profile",
        principals: { alice: { token: "hunter2" } },
      },
      servers: [{ serverId: "s1", url: server.url, username: "shared", password: "pw" }],
    });
    for (const who of ["alice", "mallory", undefined, "alice"])
      await execute(open.pool, who, { method: "GET", path: "/a" });
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([
      "Bearer hunter2",
      basic("shared", "pw"),
      basic("shared", "pw"),
      "Bearer hunter2",
    ]);
    for (const authors of authorsBySocket(server).values()) expect(authors.size).toBe(1);
  });

  test("that somebody added gets nobody's but its own", async () => {
    await using server = await createWebDavServer();
    await using added = await createWebDavServer();
    added.tree.write("/a", "text");
    await using open = await openPool(
      [server.url],
      { credentials: { type: "principals", principals: { alice: auth } } },
      { allowHosts: ["127.0.0.1"] },
    );
    await open.pool.add({ serverId: "x", url: added.url, username: "theirs", password: "theirs" });
    await execute(open.pool, "alice", { method: "GET", path: "/a" }, { serverId: "x" });
    await execute(open.pool, "alice", { method: "GET", path: "/a" }, { serverId: "s1" });
    expect(added.requests.map(({ headers }) => headers.authorization)).toEqual([basic("theirs", "theirs")]);
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([basic("alice", "hunter2")]);
  });

  test("has each principal's secret from where it is, as soon as it is there", async () => {
    await using server = await createWebDavServer({ auth });
    server.tree.write("/a", "text");
    const environment: Record<string, string> = {};
    const { log, text } = recordingLog();
    await using open = await openPool(
      [server.url],
      {
        credentials: {
          type: "principals",
          principals: { alice: { username: "alice", password: { env: "DAV_ALICE" } } },
        },
      },
      {},
      { environment, log },
    );
    for (let turn = 0; turn < 5; turn++)
      expect((await problem(execute(open.pool, "alice", { method: "GET", path: "/a" }))).message).toMatch(
        /environment variable DAV_ALICE cannot be read: it is not set/,
      );
    expect([server.connectionsAccepted, open.pool.list()[0]?.health.status]).toEqual([0, "healthy"]);
    environment.DAV_ALICE = "hunter2";
    expect((await execute(open.pool, "alice", { method: "GET", path: "/a" })).value.text).toBe("text");
    expect(text()).not.toContain("hunter2");
  });

  test("has a user name that Basic authentication cannot carry refused", async () => {
    await using server = await createWebDavServer();
    await using open = await openPool([server.url], {
      credentials: { type: "principals", principals: { mallory: { username: "alice:x", password: "hunter2" } } },
    });
    const { code, message } = await problem(execute(open.pool, "mallory", { method: "GET", path: "/a" }));
    expect([code, message.includes("hunter2"), server.requests.length]).toEqual(["INVALID_PROFILE", false, 0]);
  });
});

test("a lock of another principal is presented with one's own credentials, at the server that one names", async () => {
  await using cluster = await createWebDavCluster({ servers: 2 });
  cluster.tree?.write("/a", "text");
  await using open = await openPool(cluster.urls, { credentials: { type: "principals", principals: people(2) } });
  const [first] = cluster.servers as [WebDavServer];
  const body = `<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>`;
  const token = await open.pool.execute(
    { method: "LOCK", path: "/a", body },
    {
      caller: { principal: "p0" },
      consume: async ({ headers, body: answer }: WebDavResponse) => {
        await answer.text();
        return String(headers["lock-token"]);
      },
    },
  );
  const unlock: WebDavRequest = { method: "UNLOCK", path: "/a", headers: { "Lock-Token": token.value } };
  expect((await problem(execute(open.pool, "p1", unlock))).code).toBe("AFFINITY_UNKNOWN");
  first.clearRequests();
  await execute(open.pool, "p1", unlock, { serverId: token.serverId });
  expect(first.requests.map(({ headers }) => headers.authorization)).toEqual([basic("user1", "hunter2-1")]);
});
