import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { AddressGuard, createManualClock, systemClock } from "@davpool/core";
import { createWebDavServer, ManualClock, type WebDavServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import type { WebDavConnection } from "./connection.ts";
import { explain } from "./failures.ts";
import { ObservedAttempt } from "./testing/attempt.test-support.ts";
import { connect, profileOf, SETTINGS } from "./testing/connect.test-support.ts";
import { createRawServer } from "./testing/raw-server.test-support.ts";
import { webDavTransport } from "./transport.ts";
import type { WebDavRequest } from "./wire.ts";

const ask = { method: "PROPFIND", path: "/", headers: { Depth: "0" } };

/** Sends a request and reads its answer. */
async function exchange(
  connection: WebDavConnection,
  request: WebDavRequest,
  attempt = new ObservedAttempt(),
): Promise<{ status: number; text: string; attempt: ObservedAttempt }> {
  const { status, body } = await connection.send(request, attempt);
  const text = await body.text();
  expect({ held: attempt.held, listeners: attempt.listeners }).toEqual({ held: 0, listeners: 0 });
  return { status, text, attempt };
}

describe("sockets", () => {
  test("one is used for request after request", async () => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url, { profile: { maxConnections: 1 } });
    expect(connection.stats()).toEqual({ active: 0, idle: 0, max: 1 });
    for (const method of ["PUT", "GET", "PROPFIND", "COPY", "OPTIONS", "MKCOL", "DELETE"])
      await exchange(connection, { method, path: "/a", headers: { Destination: "/b" } });
    expect(server.connectionsAccepted).toBe(1);
    expect(connection.stats()).toEqual({ active: 0, idle: 1, max: 1 });
  });

  test("one survives the XML of LOCK, REPORT and SEARCH", async () => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url, { profile: { maxConnections: 1 } });
    for (const method of ["LOCK", "REPORT", "SEARCH", "PROPFIND"])
      await exchange(connection, { method, path: "/a", body: "<x/>" });
    expect(server.connectionsAccepted).toBe(1);
  });

  test("one that nobody uses is closed after the idle time", async () => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url, { settings: { idleTimeout: 30 } });
    await exchange(connection, ask);
    expect(server.connections).toBe(1);
    await server.disconnected();
    await exchange(connection, ask);
    expect(server.connectionsAccepted).toBe(2);
  });

  test("an idle time of nothing keeps none", async () => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url, { settings: { idleTimeout: 0 } });
    await exchange(connection, ask);
    await server.disconnected();
    expect(server.connections).toBe(0);
  });

  test("a server that keeps sockets for a short time costs no request", async () => {
    await using server = await createWebDavServer({ keepAliveTimeout: 20 });
    await using connection = connect(server.url);
    for (let round = 0; round < 3; round++) {
      expect((await exchange(connection, ask)).status).toBe(207);
      await server.disconnected();
    }
  });

  test("one that the server closed without saying so is not used again", async () => {
    await using server = await createRawServer((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", () => setImmediate(() => socket.end()));
      socket.once("end", () => closed.shift()?.resolve());
    });
    const closed = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const [first, second] = closed.map(({ promise }) => promise);
    await using connection = connect(server.url);
    expect((await exchange(connection, ask)).text).toBe("ok");
    await first;
    expect((await exchange(connection, ask)).text).toBe("ok");
    await second;
  });

  test("there are never more than maxConnections, and the counts are true", async () => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url, { profile: { maxConnections: 3 } });
    const held = await server.inject({ kind: "delay", ms: Infinity });
    const answers = Array.from({ length: 10 }, () => exchange(connection, ask));
    await server.received(3);
    expect(server.connections).toBe(3);
    expect(connection.stats()).toEqual({ active: 3, idle: 0, max: 3 });
    await held.off();
    await Promise.all(answers);
    expect(server.connectionsAccepted).toBe(3);
    expect(connection.stats()).toEqual({ active: 0, idle: server.connections, max: 3 });
  });

  test("some are opened ahead, the one that is needed at once included", async () => {
    await using server = await createWebDavServer();
    const transport = webDavTransport(
      { ...SETTINGS, preconnect: 3 },
      { allowHosts: [], allowCleartext: false },
      systemClock,
    );
    const init = { partition: "", credentials: undefined, origin: "declared", clock: createManualClock() } as const;
    await using connection = await transport.connect(profileOf(server.url), {
      ...init,
      signal: new AbortController().signal,
    });
    await connection.send(ask, new ObservedAttempt()).then(({ body }) => body.read());
    await server.connected(3);
    await server.idle();
    expect(server.connectionsAccepted).toBe(3);
    expect(server.requests.filter(({ method }) => method === "OPTIONS")).toHaveLength(2);
  });

  test("no more are opened ahead than there may be, and none where that is not asked for", async () => {
    await using server = await createWebDavServer();
    await using few = connect(server.url, { settings: { preconnect: 9 }, profile: { maxConnections: 2 } });
    few.preconnect(createManualClock());
    await exchange(few, ask);
    await server.connected(2);
    await using none = connect(server.url);
    none.preconnect(createManualClock());
    expect(server.connectionsAccepted).toBe(2);
  });

  test("a server that accepts and does not answer gets its sockets opened ahead only for a time", async () => {
    await using server = await createWebDavServer();
    await server.inject({ kind: "blackhole", methods: ["OPTIONS"] });
    const clock = createManualClock();
    await using connection = connect(server.url, { settings: { preconnect: 4 } });
    connection.preconnect(clock);
    await server.received(3, { method: "OPTIONS" });
    clock.advance(SETTINGS.connectTimeout);
    await server.disconnected();
    expect(server.connectionsAccepted).toBe(3);
  });
});

describe("credentials", () => {
  test.each([
    [{ username: "alice", password: "pass" }, `Basic ${btoa("alice:pass")}`],
    [{ username: "alice" }, `Basic ${btoa("alice:")}`],
    [{ password: "pass" }, `Basic ${btoa(":pass")}`],
    [{ username: "ü", password: "日" }, `Basic ${Buffer.from("ü:日").toString("base64")}`],
    [{ token: "abc" }, "Bearer abc"],
    [{}, undefined],
    [undefined, undefined],
  ])("%j go out as %s", async (credentials, header) => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url, { init: { credentials } });
    await exchange(connection, ask);
    expect(server.requests[0]?.headers.authorization).toBe(header);
  });

  test("are what the server asks for, in requests and in health checks", async () => {
    await using server = await createWebDavServer({ auth: { username: "alice", password: "pass" } });
    await using right = connect(server.url, { init: { credentials: { username: "alice", password: "pass" } } });
    expect((await exchange(right, ask)).status).toBe(207);
    await right.probe(new AbortController().signal);
    expect(server.requests.map(({ status }) => status)).toEqual([207, 200]);
    await using wrong = connect(server.url, { init: { credentials: { token: "x" } } });
    expect((await exchange(wrong, ask)).status).toBe(401);
    await expect(wrong.probe(new AbortController().signal)).rejects.toMatchObject({ code: "CREDENTIALS_REFUSED" });
    // Where callers bring their own, the server's are none.
    await using none = connect(server.url);
    expect(await none.probe(new AbortController().signal)).toBeUndefined();
  });
});

describe("a redirect", () => {
  const elsewhere = (location: string) => ({ kind: "status", status: 301, path: "/a", headers: { location } }) as const;

  test.each(["GET", "HEAD", "OPTIONS", "PROPFIND"])("of %s inside the base is followed", async (method) => {
    await using server = await createWebDavServer();
    server.tree.write("/b c/d", "text");
    await using connection = connect(server.url, { init: { credentials: { token: "t" } } });
    for (const location of ["/dav/b%20c/d", "b%20c/d", `${server.url}b%20c/d`]) {
      server.clearRequests();
      await using _ = await server.inject(elsewhere(location));
      const { status } = await exchange(connection, { method, path: "/a", headers: { Depth: "0" } });
      expect(status).toBeLessThan(300);
      expect(server.requests.map(({ path, headers }) => [path, headers.authorization, headers.depth])).toEqual([
        ["/a", "Bearer t", "0"],
        ["/b c/d", "Bearer t", "0"],
      ]);
    }
  });

  test("to another server or out of the base is handed over, and nobody gets the credentials", async () => {
    await using server = await createWebDavServer();
    await using other = await createWebDavServer();
    await using connection = connect(server.url, { init: { credentials: { token: "t" } } });
    for (const location of [
      other.url,
      `//127.0.0.1:${other.port}/dav/x`,
      "/",
      "/other/x",
      "/dav/../x",
      "/dav/..%2fx",
      "/dav/x?y",
      "http://",
    ]) {
      await using _ = await server.inject(elsewhere(location));
      const { status, headers, body } = await connection.send({ method: "GET", path: "/a" }, new ObservedAttempt());
      body.discard();
      expect([status, headers.location]).toEqual([301, location]);
    }
    expect(other.connectionsAccepted).toBe(0);
    expect(server.requests.every(({ path }) => path === "/a")).toBe(true);
  });

  test.each<WebDavRequest>([
    { method: "PUT", path: "/a", body: "text" },
    { method: "DELETE", path: "/a" },
    { method: "MKCOL", path: "/a" },
    { method: "LOCK", path: "/a" },
    { method: "POST", path: "/a" },
  ])("of $method is handed over where something changes", async (request) => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url);
    await server.inject({ ...elsewhere("/dav/b"), status: 307 });
    expect((await exchange(connection, request)).status).toBe(307);
    expect(server.requests).toHaveLength(1);
  });

  test.each([
    [300, "/dav/b"],
    [304, "/dav/b"],
    [301, undefined],
  ])("%i to %s is an answer", async (status, location) => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url);
    await server.inject({
      kind: "status",
      status,
      path: "/a",
      ...(location !== undefined && { headers: { location } }),
    });
    expect((await exchange(connection, { method: "GET", path: "/a" })).status).toBe(status);
  });

  test("that goes in circles ends with the sixth answer", async () => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url);
    await server.inject(elsewhere("/dav/a"));
    expect((await exchange(connection, { method: "GET", path: "/a" })).status).toBe(301);
    expect(server.requests).toHaveLength(6);
  });

  test("needs no second socket, whatever came with it", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/b", "text");
    await using connection = connect(server.url, { profile: { maxConnections: 1 } });
    for (const body of ["", "moved", "x".repeat(1_000_000)]) {
      await using _ = await server.inject({ ...elsewhere("/dav/b"), body });
      expect((await exchange(connection, { method: "GET", path: "/a" })).text).toBe("text");
    }
    // Only the long one was not worth reading.
    expect(server.connectionsAccepted).toBe(2);
  });
});

describe("an answer", () => {
  test("may be announced by others", async () => {
    await using server = await createRawServer((socket) =>
      socket.write(
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      ),
    );
    await using connection = connect(server.url);
    expect(await exchange(connection, ask)).toMatchObject({ status: 200, text: "ok" });
  });

  test("to HEAD, and one of 204 or 304, has no body", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "text");
    await using connection = connect(server.url);
    const head = await connection.send({ method: "HEAD", path: "/a" }, new ObservedAttempt());
    expect([head.status, head.headers["content-length"], head.body.length]).toEqual([200, "4", 0]);
    expect(await head.body.read()).toMatchObject({ bytes: { byteLength: 0 }, truncated: false });
    const headers = { "If-None-Match": String(head.headers.etag) };
    expect(await exchange(connection, { method: "GET", path: "/a", headers })).toMatchObject({ status: 304, text: "" });
    expect(await exchange(connection, { method: "DELETE", path: "/a" })).toMatchObject({ status: 204, text: "" });
  });

  test("has the length that was announced, if any", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "text");
    await using connection = connect(server.url);
    const known = await connection.send({ method: "GET", path: "/a" }, new ObservedAttempt());
    expect(known.body.length).toBe(4);
    expect(await known.body.text()).toBe("text");
    await server.inject({ kind: "truncate", afterBytes: 2, chunked: true });
    const chunked = await connection.send({ method: "GET", path: "/a" }, new ObservedAttempt());
    expect(chunked.body.length).toBeUndefined();
    await expect(chunked.body.text()).rejects.toThrow(/other side closed/);
  });
});

describe("a request's body", () => {
  async function put(server: WebDavServer, body: WebDavRequest["body"] & {}): Promise<ObservedAttempt> {
    await using connection = connect(server.url);
    const { status, attempt } = await exchange(connection, { method: "PUT", path: "/a", body });
    expect(status).toBe(201);
    return attempt;
  }
  const bytes = Buffer.alloc(300_000, "0123456789");

  test("may be text, bytes, a function or a stream", async () => {
    async function* stream(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("some ");
      yield Buffer.from("text");
    }
    for (const body of ["some text", Buffer.from("some text"), stream, stream()]) {
      await using server = await createWebDavServer();
      const attempt = await put(server, body);
      expect(server.tree.readText("/a")).toBe("some text");
      expect([attempt.wasSent, attempt.bytes]).toEqual([1, 9]);
    }
  });

  test("may be empty", async () => {
    for (const body of ["", new Uint8Array()]) {
      await using server = await createWebDavServer();
      await put(server, body);
      expect(server.tree.readText("/a")).toBe("");
      expect(server.requests[0]?.headers["content-length"]).toBe("0");
    }
  });

  test.each([
    ["bytes", bytes],
    ["text", bytes.toString()],
    ["text beyond ASCII", "ü€😀".repeat(50_000)],
  ])("large %s goes out in pieces, so that progress is seen, and announces its length", async (_name, body) => {
    await using server = await createWebDavServer();
    const sizes: number[] = [];
    const attempt = new ObservedAttempt();
    attempt.progress = (size) => sizes.push(size);
    await using connection = connect(server.url);
    await exchange(connection, { method: "PUT", path: "/a", body }, attempt);
    const size = Buffer.byteLength(body);
    expect(Buffer.compare(Buffer.from(body), Buffer.from(server.tree.read("/a")))).toBe(0);
    expect(server.requests[0]?.headers["content-length"]).toBe(String(size));
    expect(Math.max(...sizes)).toBe(65_536);
    expect(sizes.reduce((sum, each) => sum + each, 0)).toBe(size);
  });

  test("is not touched when nothing can be sent, so that even a stream can go to another server", async () => {
    await using server = await createWebDavServer();
    await using other = await createWebDavServer();
    await server.stop();
    let pulled = 0;
    async function* stream(): AsyncGenerator<Uint8Array> {
      pulled++;
      yield Buffer.from("text");
    }
    const body = stream();
    await using connection = connect(server.url);
    const attempt = new ObservedAttempt();
    await expect(connection.send({ method: "PUT", path: "/a", body }, attempt)).rejects.toThrow(/ECONNREFUSED/);
    expect([pulled, attempt.wasSent]).toEqual([0, 0]);
    await put(other, body);
    expect(other.tree.readText("/a")).toBe("text");
  });

  test("that the server did not wait for does no harm", async () => {
    await using server = await createRawServer((socket) =>
      socket.end("HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfull"),
    );
    await using connection = connect(server.url);
    const attempt = new ObservedAttempt();
    const never = Promise.withResolvers<void>();
    let ended = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield new Uint8Array(65_536);
      } finally {
        ended = true;
        never.resolve();
      }
    }
    const response = await connection.send({ method: "PUT", path: "/a", body: endless }, attempt);
    expect(response.status).toBe(507);
    expect(await response.body.text()).toBe("full");
    await never.promise;
    expect(ended).toBe(true);
  });
});

describe("a response's body", () => {
  const text = "0123456789".repeat(20_000);

  async function opened(use: (connection: WebDavConnection, server: WebDavServer) => Promise<void>): Promise<void> {
    await using server = await createWebDavServer();
    server.tree.write("/a", text);
    server.tree.write("/small", "0123456789");
    await using connection = connect(server.url);
    await use(connection, server);
  }
  const get = (connection: WebDavConnection, path = "/a", attempt = new ObservedAttempt()) =>
    connection.send({ method: "GET", path }, attempt);

  test("is read whole, or up to a limit", () =>
    opened(async (connection) => {
      expect(await (await get(connection)).body.text()).toBe(text);
      for (const [limit, truncated] of [
        [10, false],
        [11, false],
        [Infinity, false],
        [9, true],
        [1, true],
        [0, true],
      ] as const) {
        const seen: Uint8Array[] = [];
        const read = await (await get(connection, "/small")).body.read(limit, (chunk) => seen.push(chunk));
        expect(Buffer.from(read.bytes).toString()).toBe("0123456789".slice(0, limit));
        expect(Buffer.concat(seen).toString()).toBe("0123456789".slice(0, limit));
        expect(read.truncated).toBe(truncated);
      }
      const { bytes, truncated } = await (await get(connection)).body.read(150_000);
      expect([bytes.byteLength, truncated]).toEqual([150_000, true]);
    }));

  test("that breaks off is an error, but to a request that changes something a part of the answer", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "x".repeat(1_000));
    await using connection = connect(server.url);
    const answerTo = async (method: string) => {
      await server.inject({ kind: "truncate", afterBytes: 10, times: 1 });
      return (await connection.send({ method, path: "/a" }, new ObservedAttempt())).body;
    };
    await expect((await answerTo("GET")).read()).rejects.toThrow(/closed|terminated|aborted/);
    const { bytes, brokenOff } = await (await answerTo("POST")).read();
    expect([bytes.byteLength > 0, brokenOff]).toEqual([true, expect.any(Error)]);
    await expect((await answerTo("POST")).text()).rejects.toThrow(/closed|terminated|aborted/);
  });

  test("is iterated once, and is empty afterwards", () =>
    opened(async (connection) => {
      const { body } = await get(connection);
      let size = 0;
      for await (const chunk of body) size += chunk.byteLength;
      expect(size).toBe(text.length);
      expect(await body.text()).toBe("");
    }));

  test("is let go of with its socket when much is left, and without when little is", () =>
    opened(async (connection, server) => {
      const attempt = new ObservedAttempt();
      (await get(connection, "/small", attempt)).body.discard();
      await attempt.released;
      expect((await get(connection, "/small")).body.length).toBe(10);
      for (const path of ["/a", "/small"]) {
        const { body } = await get(connection, path);
        body.discard();
        body.discard();
        expect(await body.text()).toBe("");
      }
      await server.idle();
      expect(attempt.failures).toEqual([]);
    }));

  test("of unknown length is read away for a while before the socket is given up", async () => {
    const chunk = `1000\r\n${"x".repeat(4096)}\r\n`;
    await using server = await createRawServer((socket, request) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      socket.write(request === 1 ? `${chunk.repeat(8)}0\r\n\r\n` : chunk.repeat(64));
    });
    await using connection = connect(server.url, { profile: { maxConnections: 1 } });
    const short = new ObservedAttempt();
    (await get(connection, "/", short)).body.discard();
    await short.released;
    expect(connection.stats()).toEqual({ active: 0, idle: 1, max: 1 });
    const long = new ObservedAttempt();
    (await get(connection, "/", long)).body.discard();
    await long.released;
    expect(long.failures).toEqual([]);
    expect(long.bytes).toBeLessThan(64 * 4096);
    (await get(connection, "/")).body.discard();
    expect(server.accepted).toBe(2);
  });

  test("that nobody reads pauses its socket", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/big", new Uint8Array(64_000_000));
    await using connection = connect(server.url, { profile: { maxConnections: 2 } });
    const attempt = new ObservedAttempt();
    const { body } = await get(connection, "/big", attempt);
    // Time for many chunks, had they been taken.
    for (let round = 0; round < 50; round++) await exchange(connection, ask);
    expect(attempt.bytes).toBeLessThan(512 * 1024);
    let read = 0;
    for await (const chunk of body) {
      expect(attempt.bytes - read).toBeLessThan(1_024 * 1024);
      read += chunk.byteLength;
    }
    expect(read).toBe(64_000_000);
    expect(attempt.held).toBe(0);
  });

  test("that breaks off gives what there was, then an error, and its slot with the reason", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "0123456789");
    await server.inject({ kind: "truncate", afterBytes: 4 });
    await using connection = connect(server.url);
    const attempt = new ObservedAttempt();
    const { body } = await get(connection, "/a", attempt);
    let seen = "";
    await expect(
      (async () => {
        for await (const chunk of body) seen += Buffer.from(chunk).toString();
      })(),
    ).rejects.toThrow(/other side closed|content-length/);
    expect(seen).toBe("0123");
    expect(attempt.held).toBe(0);
    expect(attempt.failures).toEqual([expect.objectContaining({ kind: "broken", blame: "repetition" })]);
  });

  test("that breaks off after it was discarded is nobody's failure", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "0123456789");
    const clock = new ManualClock();
    await using slow = await createWebDavServer({ clock, tree: server.tree });
    await slow.inject({ kind: "slow-body", bytesPerSecond: 1 });
    await using connection = connect(slow.url);
    const attempt = new ObservedAttempt();
    const { body } = await get(connection, "/a", attempt);
    body.discard();
    await slow.stop();
    await attempt.released;
    expect(attempt.failures).toEqual([]);
  });
});

describe("an abort", () => {
  /** Aborts, and expects the socket and all listeners to be gone. */
  async function gone(attempt: ObservedAttempt, server: WebDavServer, outcome: Promise<unknown>): Promise<void> {
    const reason = new Error("time is up");
    attempt.abort(reason);
    await expect(outcome).rejects.toBe(reason);
    await server.disconnected();
    expect({ held: attempt.held, listeners: attempt.listeners }).toEqual({ held: 0, listeners: 0 });
  }

  test("before the request sends nothing", async () => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url);
    const attempt = new ObservedAttempt();
    await gone(
      attempt,
      server,
      Promise.resolve().then(() => connection.send(ask, attempt)),
    );
    expect(server.connectionsAccepted).toBe(0);
  });

  test("while a socket is being opened takes effect at once", async () => {
    // Nobody answers the TLS handshake.
    const server = createServer();
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    const connection = connect(`https://127.0.0.1:${port}/`);
    const attempt = new ObservedAttempt();
    const accepted = once(server, "connection");
    const outcome = connection.send(ask, attempt);
    const [socket] = (await accepted) as [Socket];
    attempt.abort(new Error("time is up"));
    await expect(outcome).rejects.toThrow("time is up");
    expect(attempt.wasSent).toBe(0);
    socket.destroy();
    await connection[Symbol.asyncDispose]();
    expect(attempt.listeners).toBe(0);
    server.close();
  });

  test("while it waits for a socket sends nothing, and leaves the socket to others", async () => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url, { profile: { maxConnections: 1 } });
    const held = await server.inject({ kind: "delay", ms: Infinity });
    const first = exchange(connection, ask);
    await server.received();
    const attempt = new ObservedAttempt();
    const waiting = connection.send({ method: "DELETE", path: "/x" }, attempt);
    const last = exchange(connection, ask);
    attempt.abort(new Error("time is up"));
    await expect(waiting).rejects.toThrow("time is up");
    await held.off();
    await Promise.all([first, last]);
    expect(server.requests.map(({ method }) => method)).toEqual(["PROPFIND", "PROPFIND"]);
    expect(server.connectionsAccepted).toBe(1);
    expect([attempt.wasSent, attempt.listeners]).toEqual([0, 0]);
  });

  test("while the body is being sent", async () => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url);
    const attempt = new ObservedAttempt();
    const stuck = Promise.withResolvers<void>();
    async function* source(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("some");
      await stuck.promise;
    }
    const outcome = connection.send({ method: "PUT", path: "/a", body: source }, attempt);
    await server.received(1, ({ bodyBytes }) => bodyBytes === 4);
    await gone(attempt, server, outcome);
    stuck.resolve();
    expect(server.tree.exists("/a")).toBe(false);
  });

  test("while the server takes its time", async () => {
    await using server = await createWebDavServer();
    await server.inject({ kind: "blackhole" });
    await using connection = connect(server.url);
    const attempt = new ObservedAttempt();
    const outcome = connection.send(ask, attempt);
    await server.received();
    await gone(attempt, server, outcome);
    expect(attempt.wasSent).toBe(1);
  });

  test("in the midst of a body that stands still", async () => {
    await using server = await createWebDavServer({ clock: new ManualClock() });
    server.tree.write("/a", "0123456789");
    await server.inject({ kind: "slow-body", bytesPerSecond: 1 });
    await using connection = connect(server.url);
    const attempt = new ObservedAttempt();
    const { body } = await connection.send({ method: "GET", path: "/a" }, attempt);
    const iterator = body[Symbol.asyncIterator]();
    expect(Buffer.from((await iterator.next()).value as Uint8Array).toString()).toBe("0");
    await gone(attempt, server, iterator.next());
    expect(attempt.failures).toHaveLength(1);
  });

  test("after the end is nothing any more", async () => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url, { profile: { maxConnections: 1 } });
    const { attempt } = await exchange(connection, ask);
    attempt.abort();
    await exchange(connection, ask);
    expect(server.connectionsAccepted).toBe(1);
  });
});

describe("a health check", () => {
  const never = new AbortController().signal;

  test("is OPTIONS of the base, or PROPFIND of its own properties", async () => {
    await using server = await createWebDavServer();
    await using options = connect(server.url);
    await options.probe(never);
    await using propfind = connect(server.url, { settings: { healthCheck: "PROPFIND" } });
    await propfind.probe(never);
    expect(server.requests.map(({ method, path, headers }) => [method, path, headers.depth])).toEqual([
      ["OPTIONS", "/", undefined],
      ["PROPFIND", "/", "0"],
    ]);
  });

  test.each([401, 403, 404, 405, 429])("is passed with %i", async (status) => {
    await using server = await createWebDavServer();
    await server.inject({ kind: "status", status });
    await using connection = connect(server.url);
    await expect(connection.probe(never)).resolves.toBeUndefined();
  });

  test.each([500, 502, 503])("is failed with %i", async (status) => {
    await using server = await createWebDavServer();
    await server.inject({ kind: "status", status });
    await using connection = connect(server.url);
    await expect(connection.probe(never)).rejects.toThrow(`it answered the health check with ${status}`);
  });

  test("is failed when the server refuses or does not answer in time", async () => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url);
    const fault = await server.inject({ kind: "blackhole" });
    const limit = new AbortController();
    const outcome = connection.probe(limit.signal);
    await server.received();
    limit.abort(new Error("too late"));
    await expect(outcome).rejects.toThrow("too late");
    await fault.off();
    await server.stop();
    await expect(connection.probe(never)).rejects.toThrow(/ECONNREFUSED/);
  });
});

describe("closing", () => {
  test("waits for requests in flight and for bodies that are being read", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "x".repeat(5_000_000));
    const connection = connect(server.url);
    const held = await server.inject({ kind: "delay", ms: Infinity });
    const answer = connection.send({ method: "GET", path: "/a" }, new ObservedAttempt());
    await server.received();
    let closed = false;
    const closing = connection[Symbol.asyncDispose]().then(() => (closed = true));
    await held.off();
    const { body } = await answer;
    expect(closed).toBe(false);
    expect((await body.read()).bytes).toHaveLength(5_000_000);
    await closing;
    await server.disconnected();
    await expect(connection.send(ask, new ObservedAttempt())).rejects.toThrow("The client is destroyed");
  });

  test("closes idle sockets, and does so twice without harm", async () => {
    await using server = await createWebDavServer();
    const connection = connect(server.url);
    await exchange(connection, ask);
    await connection[Symbol.asyncDispose]();
    await connection[Symbol.asyncDispose]();
    await server.disconnected();
    expect(server.connections).toBe(0);
  });

  test("waits for nobody when the whole pool closes, before or meanwhile", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "x".repeat(5_000_000));
    for (const order of ["before", "meanwhile"]) {
      const closing = new AbortController();
      const connection = connect(server.url, { init: { signal: closing.signal }, profile: { maxConnections: 1 } });
      const attempt = new ObservedAttempt();
      const { body } = await connection.send({ method: "GET", path: "/a" }, attempt);
      const queued = connection.send(ask, new ObservedAttempt()).catch((error: unknown) => explain(error));
      if (order === "before") closing.abort();
      const closed = connection[Symbol.asyncDispose]();
      closing.abort();
      await closed;
      expect(await queued).toMatchObject({ kind: "broken", blame: "connection" });
      await expect(body.read()).rejects.toThrow("The client is destroyed");
      expect(attempt.failures).toEqual([expect.objectContaining({ kind: "broken", blame: "connection" })]);
      await server.disconnected();
    }
  });
});

test("a server that was added connects through the guard's lookup", async () => {
  await using server = await createWebDavServer();
  const guard = new AddressGuard(["127.0.0.0/8"]);
  await using connection = connect(server.url.replace("127.0.0.1", "localhost"), { guard, init: { origin: "added" } });
  const outcome = connection.send(ask, new ObservedAttempt());
  // localhost may also mean ::1, which nobody allowed.
  await outcome.then(
    ({ body }) => body.discard(),
    (error: unknown) => expect(String(error)).toMatch(/it means ::1/),
  );
});
