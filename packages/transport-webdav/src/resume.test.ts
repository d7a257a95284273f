import type { Socket } from "node:net";
import type { Answer, Pool } from "@davpool/core";
import {
  createWebDavCluster,
  createWebDavServer,
  type ActiveFault,
  type Fault,
  type FileTree,
  type WebDavServer,
} from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import type { ResponseBody } from "./response-body.ts";
import { ObservedAttempt } from "./testing/attempt.test-support.ts";
import { connect } from "./testing/connect.test-support.ts";
import { openPool, TIMEOUT, type OpenPool } from "./testing/pool.test-support.ts";
import { createRawServer, type RawServer } from "./testing/raw-server.test-support.ts";
import type { WebDavResponse, WebDavWire } from "./wire.ts";

const SIZE = 600_000;
const FILE = bytes(7);
const BROKEN = /other side closed|ECONNRESET|content-length|terminated/;
const headers = (range: string): { headers: Record<string, string> } => ({ headers: { Range: range } });

/** Bytes in which no place looks like another. */
function bytes(seed: number, size = SIZE): Uint8Array {
  const content = new Uint8Array(size);
  for (let at = 0, state = seed; at < size; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    content[at] = state >>> 16;
  }
  return content;
}

interface Three {
  readonly pool: Pool<WebDavWire>;
  readonly open: OpenPool;
  readonly servers: readonly WebDavServer[];
  readonly first: WebDavServer;
}

/** Three servers, each with another file of the same length under the same name. The first one is preferred. */
async function withThree(
  use: (three: Three) => Promise<void>,
  profile: Readonly<Record<string, unknown>> = {},
  settings: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await using cluster = await createWebDavCluster({ servers: 3, tree: "separate" });
  const { servers, urls } = cluster;
  servers.forEach(({ tree }, index) => tree.write("/a", index === 0 ? FILE : bytes(index)));
  const serverDefaults = { timeout: TIMEOUT, retryAttempts: 3, maxConnections: 1, ...profile };
  await using open = await openPool(urls, { serverDefaults, ...settings });
  await use({ pool: open.pool, open, servers, first: servers[0] as WebDavServer });
  // Nobody else was ever asked, the slot is free, and no socket is left that carries something.
  expect(servers.slice(1).flatMap(({ requests }) => requests)).toEqual([]);
  expect(open.pool.list()[0]?.inFlight).toBe(0);
  await expect.poll(() => open.pool.list()[0]?.connections.active).toBe(0);
}

function get(pool: Pool<WebDavWire>, request: { headers?: Record<string, string> } = {}, signal?: AbortSignal) {
  return pool.execute({ method: "GET", path: "/a", ...request }, signal && { signal });
}

/** An answer of a server that has this fault from the next request on. */
async function answeredOnce(
  pool: Pool<WebDavWire>,
  server: WebDavServer,
  fault: Fault,
  signal?: AbortSignal,
): Promise<[Answer<WebDavResponse>, ActiveFault]> {
  const held = await server.inject({ kind: "delay", ms: Infinity, times: 1 });
  const answering = get(pool, {}, signal);
  await held.met();
  const next = await server.inject(fault);
  await held.off();
  return [await answering, next];
}

/** An attempt whose answer is read later, and may be resumed so often. */
function streamed(resumes: number): ObservedAttempt {
  return Object.assign(new ObservedAttempt(), { streamed: true, resumes });
}

const ranges = ({ requests }: WebDavServer) => requests.map((request) => request.headers["range"]);

/** What a reader gets, and the error if it ends with one. */
async function readAll({ value }: Answer<WebDavResponse>): Promise<{ content: Buffer; error?: unknown }> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of value.body) chunks.push(chunk);
  } catch (error) {
    return { content: Buffer.concat(chunks), error };
  }
  return { content: Buffer.concat(chunks) };
}

async function expectWhole(answer: Answer<WebDavResponse>, content: Uint8Array = FILE): Promise<void> {
  const read = await readAll(answer);
  expect(read.error).toBeUndefined();
  expect(read.content.equals(content)).toBe(true);
}

/** The reader gets what had arrived, and nothing from anywhere else. */
async function expectBroken(answer: Answer<WebDavResponse>, received: number): Promise<void> {
  const read = await readAll(answer);
  expect(String(read.error)).toMatch(BROKEN);
  expect(read.content.equals(FILE.subarray(0, received))).toBe(true);
}

describe("a streamed body that breaks off", () => {
  const faults: readonly Fault[] = [
    { kind: "truncate", afterBytes: 200_000, times: 1 },
    { kind: "truncate", afterBytes: 200_000, chunked: true, times: 1 },
    { kind: "reset", when: "mid-body", afterBytes: 200_000, times: 1 },
  ];
  test.each(faults)("is resumed on the same server: %j", async (fault) => {
    await withThree(async ({ pool, first }) => {
      await first.inject(fault);
      const answer = await get(pool);
      expect(answer.attempts).toHaveLength(1);
      await expectWhole(answer);
      const [, rest] = first.requests;
      const from = Number(/^bytes=(\d+)-\d*$/.exec(rest?.headers["range"] as string)?.[1]);
      // Of a reset what was under way may be lost.
      if (fault.kind === "truncate") expect(from).toBe(200_000);
      else expect(from).toBeLessThanOrEqual(200_000);
      const { etag } = answer.value.headers;
      expect(rest?.headers).toMatchObject({ "if-match": etag, "if-range": etag });
      expect(answer.attempts).toMatchObject([
        { serverId: "s1", outcome: "answered" },
        { serverId: "s1", outcome: "answered", failure: { kind: "broken" } },
      ]);
      expect(answer.attempts[0]?.failure).toBeUndefined();
    });
  });

  test.each([false, true])("is resumed again and again (chunked: %s)", async (chunked) => {
    await withThree(async ({ pool, first }) => {
      await first.inject({ kind: "truncate", afterBytes: 150_000, chunked, times: 3 });
      const answer = await get(pool);
      await expectWhole(answer);
      const starts = ranges(first).map((range) => String(range).replace(/\d*$/, ""));
      expect(starts).toEqual(["undefined", "bytes=150000-", "bytes=300000-", "bytes=450000-"]);
      expect(answer.attempts).toHaveLength(4);
      expect(pool.list()[0]?.health.consecutiveFailures).toBe(0);
    });
  });

  test("is one body to the engine: bytes count once, and what is held is let go of once", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", FILE);
    await using connection = connect(server.url, { profile: { maxConnections: 1 } });
    await server.inject({ kind: "truncate", afterBytes: 250_000, times: 2 });
    const attempt = streamed(9);
    const { body } = await connection.send({ method: "GET", path: "/a" }, attempt);
    expect(attempt.held).toBe(1);
    expect((await body.read()).bytes).toHaveLength(SIZE);
    const { held, bytes: seen, failures, resumes, listeners } = attempt;
    expect({ held, seen, failures, resumes, listeners }).toEqual({
      held: 0,
      seen: SIZE,
      failures: [],
      resumes: 7,
      listeners: 0,
    });
    expect(server.connectionsAccepted).toBe(3);
    expect(server.connections).toBe(1);
  });

  test("survives a resumption that breaks before its headers", async () => {
    await withThree(async ({ pool, first }) => {
      await first.inject({ kind: "truncate", afterBytes: 150_000, times: 1 });
      const answer = await get(pool);
      const fault = await first.inject({ kind: "reset", when: "after-request", times: 1 });
      await expectWhole(answer);
      expect([fault.hits, answer.attempts.length]).toEqual([1, 3]);
    });
  });

  test.each([0, 1, 2])("is an error when retryAttempts: %s is used up", async (retryAttempts) => {
    await withThree(
      async ({ pool, first }) => {
        await first.inject({ kind: "truncate", afterBytes: 100_000 });
        const answer = await get(pool);
        await expectBroken(answer, 100_000 * (retryAttempts + 1));
        expect(first.requests).toHaveLength(retryAttempts + 1);
        expect(answer.attempts).toHaveLength(retryAttempts + 1);
      },
      { retryAttempts },
    );
  });

  test("is an error when the retry budget allows nothing", async () => {
    await withThree(
      async ({ pool, first }) => {
        await first.inject({ kind: "truncate", afterBytes: 100_000, times: 1 });
        await expectBroken(await get(pool), 100_000);
        expect(first.requests).toHaveLength(1);
      },
      {},
      { limits: { retryBudget: 0 } },
    );
  });

  test.each([
    ["changed", (tree: FileTree): void => void tree.write("/a", bytes(99)), 412],
    ["deleted", (tree: FileTree): void => void tree.delete("/a"), 404],
  ] as const)("ends with the error when the file is %s in between", async (_name, change, status) => {
    await withThree(async ({ pool, first }) => {
      await first.inject({ kind: "truncate", afterBytes: 100_000, times: 1 });
      const [answer, again] = await answeredOnce(pool, first, { kind: "delay", ms: Infinity });
      const broken = expectBroken(answer, 100_000);
      await again.met();
      change(first.tree);
      await again.off();
      await broken;
      await first.idle();
      expect(first.requests.map((request) => request.status)).toEqual([200, status]);
    });
  });

  test("that nobody has read a byte of keeps what has arrived", async () => {
    await withThree(async ({ pool, first }) => {
      await first.inject({ kind: "truncate", afterBytes: 100_000, times: 1 });
      const answer = await get(pool);
      await first.received(2);
      await expectWhole(answer);
      expect(String(ranges(first)[1])).toMatch(/^bytes=100000-/);
    });
  });

  test("comes whole to a reader who begins late, although more arrived than may wait", async () => {
    await withThree(async ({ pool, first }) => {
      const fault = await first.inject({ kind: "reset", when: "mid-body", afterBytes: 500_000, times: 1 });
      const answer = await get(pool);
      await fault.met();
      await first.idle();
      await expectWhole(answer);
      expect(first.requests.length).toBeGreaterThan(1);
    });
  });

  test("waits for a slow reader, and holds no more than a little", async () => {
    const whole = bytes(3, 12_000_000);
    await withThree(async ({ pool, first }) => {
      first.tree.write("/a", whole);
      await first.inject({ kind: "truncate", afterBytes: 100_000, times: 1 });
      const answer = await get(pool);
      const iterator = answer.value.body[Symbol.asyncIterator]();
      const chunks = [(await iterator.next()).value as Uint8Array];
      await first.received(2);
      let before: number;
      do {
        before = answer.value.body.received;
        await new Promise((resolve) => setTimeout(resolve, 30));
      } while (answer.value.body.received > before);
      expect(before).toBeLessThan(1_000_000);
      for await (const chunk of { [Symbol.asyncIterator]: () => iterator }) chunks.push(chunk);
      expect(Buffer.concat(chunks).equals(whole)).toBe(true);
    });
  });

  test("does not go on for one who has let go of it", async () => {
    await withThree(async ({ pool, first }) => {
      await first.inject({ kind: "truncate", afterBytes: 590_000, times: 1 });
      const answer = await get(pool);
      answer.value.body.discard();
      await first.disconnected();
      expect(first.requests).toHaveLength(1);
      expect(pool.list()[0]?.inFlight).toBe(0);
    });
  });
});

describe("a caller's own range", () => {
  test.each([
    ["bytes=1000-399999", 1_000, 400_000, "bytes=201000-399999"],
    ["bytes=1000-", 1_000, SIZE, `bytes=201000-${SIZE - 1}`],
    ["bytes=-300000", 300_000, SIZE, `bytes=500000-${SIZE - 1}`],
  ])("%s keeps its end", async (range, from, to, rest) => {
    await withThree(async ({ pool, first }) => {
      await first.inject({ kind: "truncate", afterBytes: 200_000, times: 1 });
      const answer = await get(pool, headers(range));
      expect(answer.value.status).toBe(206);
      await expectWhole(answer, FILE.subarray(from, to));
      expect(ranges(first)).toEqual([range, rest]);
    });
  });

  test("gives way, as the caller's conditions do, while other headers stay", async () => {
    await withThree(async ({ pool, first }) => {
      await first.inject({ kind: "truncate", afterBytes: 200_000, times: 1 });
      const own = { "If-None-Match": '"other"', "If-Modified-Since": new Date(0).toUTCString(), "X-Own": "1" };
      await expectWhole(await get(pool, { headers: own }));
      const [, rest] = first.requests;
      expect(rest?.headers).toMatchObject({ "x-own": "1" });
      expect(rest?.headers).not.toHaveProperty("if-none-match");
      expect(rest?.headers).not.toHaveProperty("if-modified-since");
    });
  });
});

describe("while the rest is asked for", () => {
  /** A body of which 100,000 bytes have been read, and whose rest is not answered. */
  async function waiting(
    use: (
      three: Three & { read: Promise<{ content: Buffer; error?: unknown }>; answer: Answer<WebDavResponse> },
    ) => unknown,
    signal?: AbortSignal,
  ): Promise<void> {
    await withThree(async (three) => {
      const { pool, first } = three;
      await first.inject({ kind: "truncate", afterBytes: 100_000, times: 1 });
      const [answer, fault] = await answeredOnce(pool, first, { kind: "blackhole" }, signal);
      await using _ = fault;
      const read = readAll(answer);
      await use({ ...three, read, answer });
      await first.disconnected();
    });
  }

  test("the caller may go away", async () => {
    const caller = new AbortController();
    await waiting(async ({ first, read }) => {
      await first.received(2);
      caller.abort(new Error("gone"));
      const { content, error } = await read;
      expect(String(error)).toMatch(/gone/);
      expect(content).toHaveLength(100_000);
    }, caller.signal);
  });

  test("the reader may let go", async () => {
    await waiting(async ({ first, read, answer, pool }) => {
      await first.received(2);
      answer.value.body.discard();
      expect(pool.list()[0]?.inFlight).toBe(0);
      await read;
    });
  });

  test("it may not stand still for longer than the server's timeout", async () => {
    await waiting(async ({ first, read, open }) => {
      await first.received(2);
      open.clock.advance(TIMEOUT + 20);
      expect(String((await read).error)).toMatch(/stood still/);
    });
  });

  describe("and no socket is free", () => {
    /** The only socket has gone to another request, which is not answered. */
    async function queued(
      use: (attempt: ObservedAttempt, body: ResponseBody, read: Promise<{ error?: unknown }>) => Promise<void>,
    ): Promise<void> {
      await using server = await createWebDavServer();
      server.tree.write("/a", FILE);
      await using connection = connect(server.url, { profile: { maxConnections: 1 } });
      const held = await server.inject({ kind: "delay", ms: Infinity, times: 1 });
      await server.inject({ kind: "truncate", afterBytes: 100_000, times: 1 });
      const attempt = streamed(1);
      const answering = connection.send({ method: "GET", path: "/a" }, attempt);
      await held.met();
      await using hole = await server.inject({ kind: "blackhole" });
      const other = new ObservedAttempt();
      const lost = connection.send({ method: "GET", path: "/other" }, other);
      lost.catch(() => {});
      await held.off();
      const value = await answering;
      const read = readAll({ value } as Answer<WebDavResponse>);
      await hole.met();
      expect([attempt.resumes, attempt.held, server.requests.length]).toEqual([0, 1, 2]);
      await use(attempt, value.body, read);
      await read;
      expect([attempt.held, attempt.listeners]).toEqual([0, 0]);
      other.abort();
      await expect(lost).rejects.toThrow("enough");
      await expect.poll(() => connection.stats()).toEqual({ active: 0, idle: 1, max: 1 });
      expect(server.requests).toHaveLength(2);
    }

    test("the caller may go away", async () => {
      await queued(async (attempt, _body, read) => {
        attempt.abort(new Error("gone"));
        expect(String((await read).error)).toMatch(/gone/);
      });
    });

    test("the reader may let go", async () => {
      await queued(async (attempt, body) => {
        body.discard();
        expect([attempt.held, attempt.failures]).toEqual([0, []]);
      });
    });
  });

  test("the pool may close", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", FILE);
    const { pool, clock } = await openPool([server.url]);
    await server.inject({ kind: "truncate", afterBytes: 100_000, times: 1 });
    const [answer] = await answeredOnce(pool, server, { kind: "blackhole" });
    const read = readAll(answer);
    await server.received(2);
    const closed = pool.close({ drain: TIMEOUT / 2 });
    clock.advance(TIMEOUT / 2);
    await closed;
    expect(String((await read).error)).toMatch(/closed|destroyed/);
    await server.disconnected();
  });
});

describe("with answers of all kinds", () => {
  const text = "0123456789";

  interface Reply {
    readonly status?: string;
    readonly headers?: readonly string[];
    readonly body?: string;
    /** Closes the socket after the answer. */
    readonly close?: boolean;
  }

  const send = (socket: Socket, { status = "200 OK", headers: list = [], body = "", close = false }: Reply): void => {
    socket.write([`HTTP/1.1 ${status}`, ...list, "", body].join("\r\n"), () => close && socket.end());
  };

  /** Answers the first request with four of ten bytes, and the second one like this. */
  async function withReplies(
    validators: readonly string[],
    reply: Reply,
    use: (answer: Answer<WebDavResponse>, server: RawServer, second: Promise<void>) => Promise<void>,
  ): Promise<void> {
    const second = Promise.withResolvers<void>();
    const broken: Reply = { headers: ["Content-Length: 10", ...validators], body: text.slice(0, 4), close: true };
    await using server = await createRawServer((socket, request) => {
      send(socket, request === 1 ? broken : reply);
      if (request === 2) second.resolve();
    });
    await using open = await openPool([server.url]);
    await use(await get(open.pool), server, second.promise);
    expect(open.pool.list()[0]?.inFlight).toBe(0);
  }

  const part = (range: string, ...others: string[]): Reply => ({
    status: "206 Partial Content",
    headers: [`Content-Range: bytes ${range}`, ...(others.length > 0 ? others : ['ETag: "a"'])],
    body: text.slice(4),
  });
  const sized = (reply: Reply): Reply => ({
    ...reply,
    headers: [...(reply.headers ?? []), `Content-Length: ${reply.body?.length ?? 0}`],
  });

  test.each<[string, Reply]>([
    ["with a length", sized(part("4-9/10"))],
    ["of a file whose size is not told", sized(part("4-9/*"))],
    ["that ends with its socket", { ...part("4-9/10"), close: true }],
  ])("a part %s is accepted", async (_name, reply) => {
    await withReplies(['ETag: "a"'], reply, async (answer) => {
      expect((await readAll(answer)).content.toString()).toBe(text);
    });
  });

  test.each<[string, Reply]>([
    ["the whole file", sized({ headers: ['ETag: "a"'], body: text })],
    ["another tag", sized(part("4-9/10", 'ETag: "b"'))],
    ["a weak tag", sized(part("4-9/10", 'ETag: W/"a"'))],
    ["no tag", sized(part("4-9/10", "X-No: tag"))],
    ["another start", sized({ ...part("3-9/10"), body: text.slice(3) })],
    ["another end", sized({ ...part("4-8/10"), body: text.slice(4, 9) })],
    ["another size", sized(part("4-9/11"))],
    ["an encoding", sized(part("4-9/10", 'ETag: "a"', "Content-Encoding: gzip"))],
    ["no range", sized({ ...part(""), headers: ['ETag: "a"'] })],
    ["416", sized({ status: "416 Range Not Satisfiable", headers: ["Content-Range: bytes */10"] })],
    ["412", sized({ status: "412 Precondition Failed" })],
    ["304", { status: "304 Not Modified", headers: ['ETag: "a"'] }],
    ["503", sized({ status: "503 Service Unavailable", headers: ["Retry-After: 1"] })],
    ["a redirect", sized({ status: "302 Found", headers: ["Location: /dav/b"] })],
  ])("%s is not the rest", async (_name, reply) => {
    await withReplies(['ETag: "a"'], reply, async (answer, server) => {
      const { content, error } = await readAll(answer);
      expect(String(error)).toMatch(BROKEN);
      expect(content.toString()).toBe("0123");
      expect(server.received.match(/GET /g)).toHaveLength(2);
    });
  });

  test.each<[string, Reply, string]>([
    ["too short", { ...part("4-9/10"), body: text.slice(4, 8), close: true }, "01234567"],
    [
      "too long",
      { ...part("4-9/10", 'ETag: "a"', "Transfer-Encoding: chunked"), body: `8\r\n456789xx\r\n0\r\n\r\n` },
      "0123",
    ],
  ])("a part that is %s is an error", async (_name, reply, seen) => {
    await withReplies(['ETag: "a"'], reply, async (answer) => {
      const { content, error } = await readAll(answer);
      expect(String(error)).toMatch(BROKEN);
      expect(content.toString()).toBe(seen);
    });
  });

  const LATER = "Last-Modified: Sat, 21 Nov 2026 10:00:00 GMT";
  const without: readonly (readonly [string, readonly string[]])[] = [
    ["a weak tag", ['ETag: W/"a"']],
    ["a date alone", [LATER]],
    ["nothing", []],
  ];

  describe.each(without)("with %s to know a version by", (_name, validators) => {
    test("what has been delivered is not continued", async () => {
      await withReplies(validators, sized({ headers: validators, body: text }), async (answer, server) => {
        const iterator = answer.value.body[Symbol.asyncIterator]();
        expect(Buffer.from((await iterator.next()).value as Uint8Array).toString()).toBe("0123");
        await expect(iterator.next()).rejects.toThrow(BROKEN);
        expect(server.received.match(/GET /g)).toHaveLength(1);
      });
    });

    test("what nobody has read begins anew", async () => {
      await withReplies(validators, sized({ headers: validators, body: text }), async (answer, server, second) => {
        await second;
        expect((await readAll(answer)).content.toString()).toBe(text);
        expect(server.received).not.toMatch(/range|if-match/i);
      });
    });

    test.each<[string, Reply]>([
      ["length", { headers: validators, body: `${text}x` }],
      ["tag", { headers: ['ETag: "b"'], body: text }],
      ["date", { headers: ["Last-Modified: Sat, 21 Nov 2026 11:00:00 GMT"], body: text }],
      ["status", { status: "203 Non-Authoritative Information", headers: validators, body: text }],
      ["type", { headers: [...validators, "Content-Type: text/x-other"], body: text }],
    ])("nor does it with another %s", async (_other, reply) => {
      await withReplies(validators, sized(reply), async (answer, _server, second) => {
        await second;
        const { content, error } = await readAll(answer);
        expect(String(error)).toMatch(BROKEN);
        expect(content).toHaveLength(0);
      });
    });
  });

  test("a little rest that is not wanted is not asked for when it breaks off", async () => {
    const sockets: Socket[] = [];
    await using server = await createRawServer((socket) => {
      sockets.push(socket);
      send(socket, { headers: ["Content-Length: 10", 'ETag: "a"'], body: "0123" });
    });
    await using open = await openPool([server.url]);
    const { value, attempts } = await get(open.pool);
    value.body.discard();
    expect(open.pool.list()[0]?.inFlight).toBe(1);
    sockets[0]?.end();
    await expect.poll(() => open.pool.list()[0]?.inFlight).toBe(0);
    expect(attempts).toHaveLength(1);
    expect(server.received.match(/GET /g)).toHaveLength(1);
  });

  test("encoded bytes are passed through, and not resumed", async () => {
    const validators = ['ETag: "a"', "Content-Encoding: gzip"];
    await withReplies(validators, sized(part("4-9/10")), async (answer, server) => {
      const { content, error } = await readAll(answer);
      expect(String(error)).toMatch(BROKEN);
      expect(content.toString()).toBe("0123");
      expect(server.received.match(/GET /g)).toHaveLength(1);
    });
  });
});

test("nothing received at all begins anew, also with a strong tag", async () => {
  await withThree(async ({ pool, first }) => {
    await first.inject({ kind: "truncate", afterBytes: 0, times: 1 });
    await expectWhole(await get(pool));
    expect(ranges(first)).toEqual([undefined, undefined]);
  });
});

test("an answer to another method is not resumed", async () => {
  await withThree(async ({ pool, first }) => {
    await first.inject({ kind: "truncate", afterBytes: 100 });
    const answer = await pool.execute({ method: "PROPFIND", path: "/", headers: { Depth: "1" } });
    expect(String((await readAll(answer)).error)).toMatch(BROKEN);
    expect(first.requests).toHaveLength(1);
  });
});

test("what is read inside the call moves to another server instead", async () => {
  await using cluster = await createWebDavCluster({ servers: 3, tree: "separate" });
  cluster.servers.forEach(({ tree }, index) => tree.write("/a", bytes(index)));
  await using open = await openPool(cluster.urls);
  await cluster.servers[0]?.inject({ kind: "truncate", afterBytes: 100_000 });
  const { value, serverId } = await open.pool.execute(
    { method: "GET", path: "/a" },
    { consume: async ({ body }) => (await body.read()).bytes },
  );
  expect(serverId).toBe("s2");
  expect(Buffer.compare(value, bytes(1))).toBe(0);
  expect(cluster.servers.map(({ requests }) => requests.length)).toEqual([1, 1, 0]);
});
