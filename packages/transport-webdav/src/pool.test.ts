import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isDavpoolError, type Answer, type CallOptions, type Pool } from "@davpool/core";
import {
  createWebDavCluster,
  createWebDavServer,
  ManualClock,
  type Fault,
  type WebDavCluster,
  type WebDavServer,
} from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { openPool, TIMEOUT, type OpenPool } from "./testing/pool.test-support.ts";
import type { WebDavRequest, WebDavResponse, WebDavWire } from "./wire.ts";

interface Read {
  readonly status: number;
  readonly text: string;
}

const consume = async ({ status, body }: WebDavResponse): Promise<Read> => ({ status, text: await body.text() });

function execute(pool: Pool<WebDavWire>, request: WebDavRequest, options: CallOptions = {}): Promise<Answer<Read>> {
  return pool.execute(request, { ...options, consume });
}

test("a server that refuses its credentials leaves the rotation, and calls go to the others", async () => {
  await using server = await createWebDavServer({ auth: { username: "alice", password: "new" } });
  await using other = await createWebDavServer();
  other.tree.write("/a", "text");
  const credentials = { username: "alice", password: "old" };
  const servers = [
    { serverId: "s1", url: server.url, ...credentials },
    { serverId: "s2", url: other.url, priority: 2 },
  ];
  await using open = await openPool([], { health: { enabled: true }, servers });
  const left = new Promise((resolve) => open.pool.on("server-unhealthy", resolve));
  const get = () => execute(open.pool, { method: "GET", path: "/a" });
  expect(await get()).toMatchObject({ serverId: "s2", value: { status: 200 } });
  open.clock.advance(2_000);
  expect(await left).toMatchObject({ serverId: "s1", reason: expect.stringContaining("refuses its credentials") });
  const asked = server.requests.length;
  for (let second = 0; second < 60; second++) {
    open.clock.advance(1_000);
    expect((await get()).serverId).toBe("s2");
  }
  expect(server.requests).toHaveLength(asked);
});

test("credentials that are put right are used from the next check on", async () => {
  await using server = await createWebDavServer({ auth: { username: "alice", password: "new" } });
  const file = join(await mkdtemp(join(tmpdir(), "davpool-secret-")), "password");
  await writeFile(file, "old");
  const servers = [{ serverId: "s1", url: server.url, username: "alice", password: { file }, healthCheckInterval: 1 }];
  await using open = await openPool([], { health: { enabled: true }, servers });
  const get = async () => (await execute(open.pool, { method: "PROPFIND", path: "/" })).value.status;
  const checked = (status: number) =>
    server.nextRequest((request) => request.method === "OPTIONS" && request.status === status);
  const refused = checked(401);
  expect(await get()).toBe(401);
  open.clock.advance(1_500);
  await refused;
  await writeFile(file, "new");
  const taken = checked(200);
  open.clock.advance(1_500);
  await taken;
  expect(await get()).toBe(207);
  await rm(dirname(file), { recursive: true });
});

/** The status of the answer, or the code of the error. */
async function outcome(call: Promise<Answer<Read>>): Promise<number | string> {
  try {
    return (await call).value.status;
  } catch (error) {
    if (isDavpoolError(error)) return error.code;
    throw error;
  }
}

const LOCKINFO = `<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>`;

/** What each method answers when all is well. */
const REQUESTS = {
  GET: [{ method: "GET", path: "/a" }, 200],
  PROPFIND: [{ method: "PROPFIND", path: "/a", headers: { Depth: "0" } }, 207],
  PUT: [{ method: "PUT", path: "/new", body: "text" }, 201],
  DELETE: [{ method: "DELETE", path: "/a" }, 204],
  MOVE: [{ method: "MOVE", path: "/a", headers: { Destination: "/b" } }, 201],
  MKCOL: [{ method: "MKCOL", path: "/c/" }, 201],
  LOCK: [{ method: "LOCK", path: "/a", body: LOCKINFO }, 200],
  POST: [{ method: "POST", path: "/a", body: "x" }, 405],
} as const satisfies Record<string, readonly [WebDavRequest, number]>;

type Method = keyof typeof REQUESTS;
const METHODS = Object.keys(REQUESTS) as Method[];
const NEITHER = new Set<Method>(["LOCK", "POST"]);
const SAFE = new Set<Method>(["GET", "PROPFIND"]);

/** One server; three; three, of which the call names the first. The first one has the fault. */
const WHERE = ["one", "three", "pinned"] as const;

interface Case {
  readonly where: (typeof WHERE)[number];
  readonly method: Method;
  /** The status when all is well. */
  readonly well: number;
}

interface Expected {
  readonly outcome: number | string;
  /** How often each server got the request. */
  readonly sent: readonly number[];
}

/** Sent once more: to the second server if there is one to choose, else to the first again. */
const again = ({ where, well }: Case, status = well): Expected => ({
  outcome: status,
  sent: where === "one" ? [2] : where === "three" ? [1, 1, 0] : [2, 0, 0],
});
const once = ({ where }: Case, result: number | string): Expected => ({
  outcome: result,
  sent: where === "one" ? [1] : [1, 0, 0],
});
const afterSending = (cell: Case): Expected => (NEITHER.has(cell.method) ? once(cell, "OUTCOME_UNKNOWN") : again(cell));
/** The work was done at the first time: the second finds it done, and that is verified. */
const afterWork = (cell: Case): Expected =>
  NEITHER.has(cell.method) ? once(cell, "OUTCOME_UNKNOWN") : again(cell, SAFE.has(cell.method) ? cell.well : 204);

/** 502 to MOVE is an answer about the destination. */
const isLast = (method: Method, status: number) => NEITHER.has(method) || (method === "MOVE" && status === 502);

const FAULTS: readonly (readonly [name: string, fault: Fault, expected: (cell: Case) => Expected])[] = [
  [
    "refuses connections",
    { kind: "refuse" },
    ({ where, well }) =>
      where === "three"
        ? { outcome: well, sent: [0, 1, 0] }
        : { outcome: "NO_SERVER_AVAILABLE", sent: where === "one" ? [0] : [0, 0, 0] },
  ],
  ["resets before the body", { kind: "reset", when: "before-body", times: 1 }, afterSending],
  ["resets after the request", { kind: "reset", when: "after-request", times: 1 }, afterSending],
  ["resets after the work", { kind: "reset", when: "after-request", applied: true, times: 1 }, afterWork],
  ["never answers", { kind: "blackhole", times: 1 }, afterSending],
  ["never answers after the work", { kind: "blackhole", applied: true, times: 1 }, afterWork],
  ["takes its time", { kind: "delay", ms: TIMEOUT / 2 }, (cell) => once(cell, cell.well)],
  ...[500, 502, 503, 504].map(
    (status) =>
      [
        `answers ${status}`,
        { kind: "status", status, times: 1 },
        (cell: Case) => (isLast(cell.method, status) ? once(cell, status) : again(cell)),
      ] as const,
  ),
  ["answers 507", { kind: "status", status: 507 }, (cell) => once(cell, 507)],
  ["answers 423", { kind: "status", status: 423 }, (cell) => once(cell, 423)],
];

async function within(
  where: Case["where"],
  use: (open: OpenPool, cluster: WebDavCluster, first: WebDavServer, time: ManualClock) => Promise<void>,
): Promise<void> {
  const time = new ManualClock();
  await using cluster = await createWebDavCluster({ servers: where === "one" ? 1 : 3, clock: time });
  cluster.tree?.write("/a", "some text");
  await using open = await openPool(cluster.urls);
  await use(open, cluster, cluster.servers[0] as WebDavServer, time);
}

describe.each(FAULTS)("a server that %s", (_name, fault, expected) => {
  describe.each(WHERE)("(%s)", (where) => {
    test.each(METHODS)("%s", (method) =>
      within(where, async ({ pool, clock }, cluster, first, time) => {
        await using _ = await first.inject(fault);
        const [request, well] = REQUESTS[method];
        const call = outcome(execute(pool, request, where === "pinned" ? { serverId: "s1" } : {}));
        if (fault.kind === "blackhole") {
          await first.received();
          clock.advance(TIMEOUT + 20);
        }
        if (fault.kind === "delay") {
          await time.scheduled();
          time.advance(fault.ms);
        }
        const result = { outcome: await call, sent: cluster.servers.map((server) => counted(server, method)) };
        expect(result).toEqual(expected({ where, method, well }));
        await first.idle();
      }),
    );
  });
});

function counted(server: WebDavServer, method: string): number {
  return server.requests.filter((request) => request.method === method).length;
}

describe("while the fault lasts", () => {
  test.each<[Fault, Method, string | number, readonly number[]]>([
    [{ kind: "reset", when: "after-request" }, "GET", "NO_SERVER_AVAILABLE", [1, 1, 1]],
    [{ kind: "reset", when: "after-request" }, "DELETE", "OUTCOME_UNKNOWN", [1, 1, 1]],
    [{ kind: "status", status: 503 }, "PUT", 503, [1, 1, 1]],
    [{ kind: "refuse" }, "LOCK", "NO_SERVER_AVAILABLE", [0, 0, 0]],
  ])("%j everywhere, %s ends with %s", async (fault, method, result, sent) => {
    await within("three", async ({ pool }, cluster) => {
      await Promise.all(cluster.servers.map((server) => server.inject(fault)));
      expect(await outcome(execute(pool, REQUESTS[method][0]))).toBe(result);
      expect(cluster.servers.map((server) => counted(server, method))).toEqual(sent);
    });
  });

  test("the error names every server and what is wrong with it", async () => {
    await within("three", async ({ pool }, cluster) => {
      await Promise.all(cluster.servers.map((server) => server.stop()));
      await expect(execute(pool, REQUESTS.GET[0])).rejects.toThrow(
        /s1: \w+ \(connection refused\); s2: \w+ \(connection refused\); s3: \w+ \(connection refused\)/,
      );
    });
  });
});

describe("an answer that breaks off", () => {
  test.each([
    ["GET", /^some text$/],
    ["PROPFIND", /^<\?xml.*multistatus>$/s],
  ] as const)("to %s comes whole from another server, never from two", async (method, whole) => {
    for (const chunked of [false, true]) {
      await within("three", async ({ pool }, cluster, first) => {
        await first.inject({ kind: "truncate", afterBytes: 5, chunked });
        const { value, serverId } = await execute(pool, REQUESTS[method][0]);
        expect(serverId).toBe("s2");
        expect(value.text).toMatch(whole);
        expect(cluster.servers.map((server) => counted(server, method))).toEqual([1, 1, 0]);
      });
    }
  });

  test.each(["LOCK", "POST"] as const)("to %s does not have it sent again", async (method) => {
    await within("three", async ({ pool }, cluster, first) => {
      await first.inject({ kind: "truncate", afterBytes: 5 });
      await outcome(execute(pool, REQUESTS[method][0]));
      expect(cluster.servers.map((server) => counted(server, method))).toEqual([1, 0, 0]);
    });
  });
});

describe("a slow body", () => {
  /** Reads 4,096 bytes, a quarter of a second's worth at a time, while both sides' time goes on in step. */
  async function read(bytesPerSecond: number): Promise<string> {
    const result = { serverId: "" };
    await within("three", async ({ pool, clock }, cluster, first, time) => {
      cluster.tree?.write("/a", "x".repeat(4_096));
      await first.inject({ kind: "slow-body", bytesPerSecond, chunkBytes: bytesPerSecond / 4 });
      const { value, serverId } = await pool.execute(
        { method: "GET", path: "/a" },
        {
          consume: async ({ body }, attempt) => {
            let size = 0;
            for await (const chunk of body) {
              size += chunk.byteLength;
              if (attempt.serverId !== "s1") continue;
              clock.advance(250);
              if (attempt.signal.aborted) continue;
              await time.scheduled();
              time.advance(250);
            }
            return size;
          },
        },
      );
      expect(value).toBe(4_096);
      result.serverId = serverId;
    });
    return result.serverId;
  }

  test("at or above the least rate may take longer than the timeout", async () => {
    expect(await read(1_200)).toBe("s1");
  });

  test("below it is cut off, and comes from another server", async () => {
    expect(await read(400)).toBe("s2");
  });
});

describe("a body that can be read once", () => {
  async function* stream(): AsyncGenerator<Uint8Array> {
    for (let piece = 0; piece < 100; piece++) yield Buffer.alloc(10_000, "x");
  }
  const put = (body: WebDavRequest["body"] & {}): WebDavRequest => ({ method: "PUT", path: "/new", body });

  test("goes to another server when none of it was sent", async () => {
    await within("three", async ({ pool }, cluster, first) => {
      await first.stop();
      expect(await outcome(execute(pool, put(stream())))).toBe(201);
      expect(cluster.tree?.read("/new")).toHaveLength(1_000_000);
    });
  });

  test("is never sent again once it flows, while a function makes a new one", async () => {
    await within("three", async ({ pool }, cluster, first) => {
      await first.inject({ kind: "reset", when: "mid-request", afterBytes: 1 });
      expect(await outcome(execute(pool, put(stream())))).toBe("OUTCOME_UNKNOWN");
      expect(cluster.servers.map((server) => counted(server, "PUT"))).toEqual([1, 0, 0]);
      expect(await outcome(execute(pool, put(stream)))).toBe(201);
      expect(cluster.servers.map((server) => counted(server, "PUT"))).toEqual([2, 1, 0]);
    });
  });

  test("whose source fails is the caller's trouble, and no server's", async () => {
    await within("three", async ({ pool }, cluster) => {
      async function* broken(): AsyncGenerator<Uint8Array> {
        yield Buffer.from("some");
        throw Object.assign(new Error("source gone"), { code: "ECONNRESET" });
      }
      await expect(execute(pool, put(broken))).rejects.toThrow(/body could not be read: source gone/);
      expect(cluster.servers.slice(1).map((server) => counted(server, "PUT"))).toEqual([0, 0]);
      expect(cluster.tree?.exists("/new")).toBe(false);
      expect(pool.list().map(({ health }) => health.consecutiveFailures)).toEqual([0, 0, 0]);
    });
  });
});

describe("locks", () => {
  const lock: WebDavRequest = { method: "LOCK", path: "/a", headers: { Timeout: "Second-60" }, body: LOCKINFO };

  /** Locks on the second server, while the first one is preferred. */
  async function locked(pool: Pool<WebDavWire>): Promise<string> {
    const { value } = await pool.execute(lock, { serverId: "s2" });
    value.body.discard();
    return String(value.headers["lock-token"]);
  }

  test("a request that carries a token goes to the server that gave it, and to no other", async () => {
    await within("three", async ({ pool }, cluster) => {
      const token = await locked(pool);
      for (const If of [token, token.slice(1, -1), `(${token})`, `(${token}) (Not <DAV:no-lock>)`]) {
        cluster.clearRequests();
        const answer = await execute(pool, { method: "PUT", path: "/a", body: "new", headers: { If } });
        expect([answer.value.status, answer.serverId]).toEqual([204, "s2"]);
        expect(cluster.servers.map(({ requests }) => requests.length)).toEqual([0, 1, 0]);
      }
      const unlock: WebDavRequest = { method: "UNLOCK", path: "/a", headers: { "Lock-Token": token } };
      const answer = await execute(pool, unlock);
      expect([answer.value.status, answer.serverId]).toEqual([204, "s2"]);
      expect(await outcome(execute(pool, unlock))).toBe("AFFINITY_UNKNOWN");
    });
  });

  test("is not sent elsewhere, nor twice, when its server is in trouble", async () => {
    await within("three", async ({ pool }, cluster) => {
      const token = await locked(pool);
      cluster.clearRequests();
      const [, second] = cluster.servers;
      const put: WebDavRequest = { method: "PUT", path: "/a", body: "new", headers: { If: token } };
      await second?.inject({ kind: "reset", when: "after-request", times: 1 });
      expect(await outcome(execute(pool, put))).toBe("OUTCOME_UNKNOWN");
      await second?.inject({ kind: "status", status: 503, times: 1 });
      expect(await outcome(execute(pool, put))).toBe(503);
      await second?.stop();
      expect(await outcome(execute(pool, put))).toBe("AFFINITY_UNAVAILABLE");
      expect(cluster.servers.map((server) => counted(server, "PUT"))).toEqual([0, 2, 0]);
    });
  });

  test("an unknown token is an error that asks for the server, and can be had by naming it", async () => {
    await within("three", async ({ pool }, cluster) => {
      const headers = { If: "<urn:uuid:unknown>" };
      const put: WebDavRequest = { method: "PUT", path: "/a", body: "new", headers };
      await expect(execute(pool, put)).rejects.toThrow(/Name the server with serverId: s1, s2, s3/);
      expect(cluster.servers.every(({ requests }) => requests.length === 0)).toBe(true);
      expect(await outcome(execute(pool, put, { serverId: "s2" }))).toBe(412);
    });
  });

  test("with one server nothing needs to be known", async () => {
    await within("one", async ({ pool }) => {
      const headers = { If: "<urn:uuid:unknown>" };
      expect(await outcome(execute(pool, { method: "PUT", path: "/a", body: "new", headers }))).toBe(412);
    });
  });

  test("are forgotten when their time is up, and kept when they are refreshed", async () => {
    await within("three", async ({ pool, clock }) => {
      const token = await locked(pool);
      const refresh: WebDavRequest = { method: "LOCK", path: "/a", headers: { If: token, Timeout: "Second-60" } };
      clock.advance(40_000);
      expect((await execute(pool, refresh)).serverId).toBe("s2");
      clock.advance(40_000);
      expect((await execute(pool, refresh)).serverId).toBe("s2");
      clock.advance(61_000);
      expect(await outcome(execute(pool, refresh))).toBe("AFFINITY_UNKNOWN");
    });
  });
});

test("an entity tag means something on the server that gave it", async () => {
  await within("three", async ({ pool }, cluster) => {
    const { value } = await pool.execute({ method: "GET", path: "/a" }, { serverId: "s3" });
    value.body.discard();
    const headers = { "If-Match": String(value.headers.etag) };
    const answer = await execute(pool, { method: "PUT", path: "a", body: "new", headers });
    expect([answer.value.status, answer.serverId]).toEqual([204, "s3"]);
    expect(await outcome(execute(pool, { method: "PUT", path: "/other", body: "new", headers }))).toBe(
      "AFFINITY_UNKNOWN",
    );
    const any = { "If-Match": "*" };
    expect((await execute(pool, { method: "PUT", path: "/a", body: "new", headers: any })).serverId).toBe("s1");
    expect(cluster.tree?.readText("/a")).toBe("new");
  });
});

describe("the configuration", () => {
  test("gives credentials to each server of its own", async () => {
    await using first = await createWebDavServer({ auth: { username: "alice", password: "one" } });
    await using second = await createWebDavServer({ auth: { token: "two" } });
    await using open = await openPool([], {
      transport: { type: "webdav", idleTimeout: "5s", connectTimeout: "1s", preconnect: 2, healthCheck: "PROPFIND" },
      servers: [
        { serverId: "s1", url: first.url, username: "alice", password: "one" },
        { serverId: "s2", url: second.url, token: "two" },
      ],
    });
    for (const serverId of ["s1", "s2"])
      expect(await outcome(execute(open.pool, { method: "PROPFIND", path: "/" }, { serverId }))).toBe(207);
    expect(JSON.stringify(open.pool.list())).not.toMatch(/one"|two"/);
  });

  test("refuses what it cannot mean", async () => {
    await expect(openPool(["http://127.0.0.1/"], { transport: { type: "webdav", idle: 1 } })).rejects.toThrow(
      /idleTimeout/,
    );
    await expect(openPool(["http://127.0.0.1/"], {}, { allowHosts: ["10.0.0.0/99"] })).rejects.toThrow(/allowHosts/);
    await expect(openPool(["ftp://127.0.0.1/"])).rejects.toThrow(/must be the http: or https: address/);
  });

  test("keeps callers from adding private addresses, unless it allows them", async () => {
    await using server = await createWebDavServer();
    await using strict = await openPool([server.url]);
    await expect(strict.pool.add({ serverId: "x", url: server.url })).rejects.toThrow(/security\.allowHosts/);
    await using loose = await openPool([], {}, { allowHosts: ["127.0.0.0/8"] });
    await loose.pool.add({ serverId: "x", url: server.url });
    expect(await outcome(execute(loose.pool, { method: "PROPFIND", path: "/" }))).toBe(207);
  });
});

test("the numbers of connections are those of the servers", async () => {
  await within("three", async ({ pool }, cluster) => {
    const held = await Promise.all(cluster.servers.map((server) => server.inject({ kind: "delay", ms: Infinity })));
    const calls = ["s1", "s1", "s2", "s3", "s3", "s3"].map((serverId) => execute(pool, REQUESTS.GET[0], { serverId }));
    await Promise.all(cluster.servers.map((server, index) => server.received([2, 1, 3][index])));
    expect(pool.list().map(({ connections }) => connections.active)).toEqual([2, 1, 3]);
    expect(cluster.servers.map(({ connections }) => connections)).toEqual([2, 1, 3]);
    await Promise.all(held.map((fault) => fault.off()));
    await Promise.all(calls);
    expect(pool.stats().totalConnections).toEqual({ active: 0, idle: 6, max: 30 });
  });
});

test("closing a pool gives a body that nobody reads its time, and then lets go of it", async () => {
  await using server = await createWebDavServer();
  server.tree.write("/big", new Uint8Array(5_000_000));
  const { pool, clock } = await openPool([server.url]);
  const { value } = await pool.execute({ method: "GET", path: "/big" });
  const closed = pool.close({ drain: TIMEOUT / 2 });
  expect(server.connections).toBe(1);
  clock.advance(TIMEOUT / 2);
  await server.disconnected();
  await closed;
  await expect(value.body.read()).rejects.toThrow(/closed|destroyed/);
});
