import { once } from "node:events";
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { queryObjects } from "node:v8";
import { createWebDavServer, type WebDavServer } from "@davpool/testkit";
import { Server } from "@modelcontextprotocol/server";
import { describe, expect, test } from "vitest";
import type { ExtensionTool } from "../extension.ts";
import { createToken } from "../identity/index.ts";
import { sign, startIssuer } from "../identity/testing/issuer.test-support.ts";
import { createLog } from "../log.ts";
import { startCollector } from "../telemetry/testing/collector.test-support.ts";
import { runTelemetry } from "../telemetry/testing/running-telemetry.test-support.ts";
import { openHalf } from "../testing/half-open.test-support.ts";
import { ACCEPT, INITIALIZE, messagesOf, startHttpServer, type LogLine } from "../testing/http-server.test-support.ts";

const NO_SERVERS = { pools: { files: { transport: "webdav" } } };
const MINUTE = 60_000;
const LIST = { jsonrpc: "2.0", id: 1, method: "tools/list" };

const poolOf = (dav: WebDavServer, more: object = {}) => ({
  pools: { files: { transport: "webdav", servers: [{ serverId: "s1", url: dav.url, ...more }] } },
});

const call = (name: string, parameters: unknown = {}, id: unknown = 1) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name, arguments: parameters },
});

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

async function statusOf(response: Response | Promise<Response>): Promise<number> {
  const answered = await response;
  await answered.text();
  return answered.status;
}

/** The text of a request, for what no client would send. */
function head(port: number, headers: Readonly<Record<string, string>>, method = "POST"): string {
  const all = { host: `127.0.0.1:${port}`, ...ACCEPT, ...headers };
  return `${method} /mcp HTTP/1.1\r\n${Object.entries(all)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}\r\n`;
}

/** Everything that a server answers to some bytes, until it closes. */
async function answerTo(port: number, sent: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(sent);
  return text(socket);
}

/** The lines as they are written, one by one. */
function written(lines: readonly LogLine[]): readonly string[] {
  const out: string[] = [];
  const log = createLog("debug", { write: (line) => void out.push(line) });
  for (const { level, message, fields } of lines) log[level](message, fields);
  return out;
}

describe("who may not come in", () => {
  test("is told apart by what is wrong with the token, and never gets as far as a tool", async () => {
    await using issuer = await startIssuer();
    const key = await issuer.rotate("k1");
    const [good, expired] = [createToken(), createToken()];
    await using server = await startHttpServer({
      ...NO_SERVERS,
      identity: {
        tokens: [
          { principal: "alice", hash: good.hash, scopes: ["read"] },
          { principal: "old", hash: expired.hash, scopes: ["read"], expires: "2020-01-01" },
        ],
        oauth: { issuer: issuer.issuer, audience: "https://files.example.com/mcp", requiredScopes: ["files"] },
        scopes: { read: { readOnly: true }, files: {} },
        failureLimit: { requests: 1_000 },
      },
    });
    const now = Math.floor(server.clock.wall().getTime() / 1_000);
    const claims = { iss: issuer.issuer, sub: "u", aud: "https://files.example.com/mcp", exp: now + 600 };
    const ask = async (headers: Record<string, string>) => {
      const response = await server.post(LIST, headers);
      await response.text();
      const [, error] = /error="(\w+)"/.exec(response.headers.get("www-authenticate") ?? "") ?? [];
      return [response.status, error];
    };
    const jwt = async (more: object) => bearer(await sign(key, { ...claims, ...more }));
    expect(await ask({})).toEqual([401, undefined]);
    expect(await ask(bearer(expired.token))).toEqual([401, "invalid_token"]);
    expect(await ask(bearer("guess"))).toEqual([401, "invalid_token"]);
    expect(await ask({ authorization: "Basic YTpi" })).toEqual([401, "invalid_token"]);
    expect(await ask(await jwt({ scope: "files", aud: "https://other.example/mcp" }))).toEqual([401, "invalid_token"]);
    expect(await ask(await jwt({ scope: "files", exp: now - 60 }))).toEqual([401, "invalid_token"]);
    expect(await ask(await jwt({ scope: "other" }))).toEqual([403, "insufficient_scope"]);
    expect(await ask(await jwt({ scope: "files" }))).toEqual([200, undefined]);
    // A token in the address is none: addresses end in logs and histories.
    const inAddress = `${server.url}?access_token=${good.token}`;
    expect(await statusOf(fetch(inAddress, { method: "POST", headers: ACCEPT, body: JSON.stringify(LIST) }))).toBe(401);
    expect(await ask(bearer(good.token))).toEqual([200, undefined]);
  });

  test("cannot make a token good by addressing the request to whomever it was issued for", async () => {
    await using issuer = await startIssuer();
    const key = await issuer.rotate("k1");
    await using server = await startHttpServer({
      ...NO_SERVERS,
      http: { host: "0.0.0.0" },
      identity: { oauth: { issuer: issuer.issuer } },
    });
    const exp = Math.floor(server.clock.wall().getTime() / 1_000) + 600;
    const token = await sign(key, { iss: issuer.issuer, sub: "u", aud: "http://other.example/mcp", exp });
    const sent = JSON.stringify(LIST);
    const headers = { ...bearer(token), "content-length": String(sent.length), connection: "close" };
    expect(await answerTo(server.port, head(server.port, { ...headers, host: "other.example" }) + sent)).toMatch(
      /^HTTP\/1\.1 403 /,
    );
  });

  test.each(["a b", "a/b", "user@localhost", "localhost#", "[::1", 'x"', "localhost:99999999", "", "%00"])(
    "cannot write %j where a host belongs",
    async (host) => {
      const { token, hash } = createToken();
      await using server = await startHttpServer({
        ...NO_SERVERS,
        http: { host: "0.0.0.0" },
        identity: { tokens: [{ principal: "alice", hash }] },
      });
      const answer = await answerTo(
        server.port,
        head(server.port, { ...bearer(token), host, connection: "close" }, "GET"),
      );
      expect(answer).toMatch(/^HTTP\/1\.1 40[03] /);
      expect(server.lines.filter(({ level }) => level === "error")).toEqual([]);
    },
  );
});

describe("a session", () => {
  const alice = createToken();
  const bob = createToken();
  const identity = {
    tokens: [
      { principal: "alice", hash: alice.hash },
      { principal: "bob", hash: bob.hash },
    ],
  };

  test("cannot be guessed, and does not open for another one's token, whatever is asked of it", async () => {
    await using server = await startHttpServer({ ...NO_SERVERS, identity });
    const ids = await Promise.all(Array.from({ length: 8 }, () => server.initialize(bearer(alice.token))));
    expect(new Set(ids).size).toBe(8);
    for (const id of ids) expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    const [id = ""] = ids;
    const guesses = [
      id.toUpperCase(),
      id.slice(1),
      `${id} `.repeat(2),
      id.replace(/.$/, "x"),
      "0",
      "__proto__",
      "constructor",
    ];
    for (const guess of guesses)
      expect(await statusOf(server.post(LIST, { ...bearer(alice.token), "mcp-session-id": guess }))).toBe(404);
    const foreign = { ...bearer(bob.token), "mcp-session-id": id };
    const requests = [
      LIST,
      INITIALIZE,
      { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } },
    ];
    for (const message of requests) expect(await statusOf(server.post(message, foreign))).toBe(404);
    for (const method of ["GET", "DELETE"])
      expect(await statusOf(fetch(server.url, { method, headers: { ...ACCEPT, ...foreign } }))).toBe(404);
    expect(await statusOf(server.post(LIST, { ...bearer(alice.token), "mcp-session-id": id }))).toBe(200);
  });

  test("that its client has ended is gone, with its streams", async () => {
    await using server = await startHttpServer(NO_SERVERS);
    const id = { "mcp-session-id": await server.initialize() };
    const stream = await fetch(server.url, { headers: { ...ACCEPT, ...id } });
    expect(await statusOf(fetch(server.url, { method: "DELETE", headers: id }))).toBe(200);
    expect(await stream.text()).toBe("");
    expect(await statusOf(server.post(LIST, id))).toBe(404);
    for (const method of ["GET", "DELETE"])
      expect(await statusOf(fetch(server.url, { method, headers: { ...ACCEPT, ...id } }))).toBe(404);
  });

  test("is not in use any more once a call was cancelled, although its client keeps the connection", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer(poolOf(dav));
    const id = { "mcp-session-id": await server.initialize() };
    await dav.inject({ kind: "delay", ms: Infinity, methods: ["GET"] });
    const slow = server.post(call("dav_request", { method: "GET", path: "/" }, "slow"), id);
    await dav.received(1, { method: "GET" });
    const cancel = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: "slow" } };
    expect(await statusOf(server.post(cancel, id))).toBe(202);
    // Clients that cancel wait for no answer; what comes ends the stream.
    expect(await messagesOf(await slow)).toMatchObject([{ id: "slow", error: { code: -32_800 } }]);
    server.clock.advance(10 * MINUTE);
    server.clock.advance(MINUTE);
    expect(server.sessions.size).toBe(0);
  });

  test("is not in use any more when its client has gone before it is known who that is", async () => {
    await using issuer = await startIssuer();
    const key = await issuer.rotate("k1");
    const aud = "https://files.example.com/mcp";
    await using server = await startHttpServer({
      ...NO_SERVERS,
      identity: { oauth: { issuer: issuer.issuer, audience: aud } },
    });
    const exp = Math.floor(server.clock.wall().getTime() / 1_000) + 3_600;
    // Each is new, so that it has to be verified.
    const token = async (jti: string) => bearer(await sign(key, { iss: issuer.issuer, sub: "alice", aud, exp, jti }));
    const id = { "mcp-session-id": await server.initialize(await token("first")) };
    for (let count = 0; count < 20; count++) {
      const socket = connect(server.port, "127.0.0.1");
      const closed = once(socket, "close");
      socket.resume().end(head(server.port, { ...id, ...(await token(String(count))) }, "GET"));
      await closed;
    }
    expect(await statusOf(server.post(LIST, { ...id, ...(await token("last")) }))).toBe(200);
    server.clock.advance(10 * MINUTE);
    server.clock.advance(MINUTE);
    expect(server.sessions.size).toBe(0);
  });

  test("takes no more memory for a client that opens one after another, or tells much of itself", async () => {
    await using server = await startHttpServer({ ...NO_SERVERS, identity });
    const agent = new Agent({ keepAlive: true, maxSockets: 32 });
    const options = { agent, method: "POST", headers: { ...ACCEPT, ...bearer(alice.token) } };
    const open = async (message: object = INITIALIZE) => {
      const asked = httpRequest(server.url, options).end(JSON.stringify(message));
      const [response] = (await once(asked, "response")) as [IncomingMessage];
      await text(response);
      return response.statusCode;
    };
    const many = async (count: number) => {
      let left = count;
      const worker = async () => {
        while (left-- > 0) expect(await open()).toBe(200);
      };
      await Promise.all(Array.from({ length: 32 }, worker));
    };
    await many(500);
    expect(server.sessions.size).toBe(8);
    await server.released();
    // Counts what is left after garbage collection. Each session has a server, which refers to all that it holds.
    expect(queryObjects(Server)).toBeLessThanOrEqual(16);
    const { params } = INITIALIZE;
    expect(await open({ ...INITIALIZE, params: { ...params, capabilities: { x: "x".repeat(70_000) } } })).toBe(413);
    agent.destroy();
  });
});

describe("slow clients", () => {
  test("ten thousand half-open connections keep nobody from being answered, and are dropped", async () => {
    await using server = await startHttpServer(NO_SERVERS, { patience: { head: 10_000, request: 10_000 } });
    await using half = await openHalf(server.port, 10_000);
    const id = { "mcp-session-id": await server.initialize() };
    for (let count = 0; count < 20; count++) expect(await statusOf(server.post(LIST, id))).toBe(200);
    await half.dropped;
    expect(await statusOf(server.post(LIST, id))).toBe(200);
  });

  test.each([
    ["head", "POST /mcp HTTP/1.1\r\nhost: localhost\r\nx: "],
    ["body", "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{"],
  ])("that send a %s byte by byte are cut off", async (_what, begin) => {
    await using server = await startHttpServer(NO_SERVERS, { patience: { head: 200, request: 400 } });
    const socket = connect(server.port, "127.0.0.1");
    const drip = setInterval(() => socket.write("1"), 20);
    socket.on("error", () => {}).write(begin);
    socket.resume();
    await once(socket, "close");
    clearInterval(drip);
    expect(socket.closed).toBe(true);
  });

  test.each(["stream", "single answer"])("that stop reading a %s are cut off", async (what) => {
    const big: ExtensionTool = {
      definition: { name: "big", inputSchema: { type: "object" } },
      run: () => ({ content: [{ type: "text", text: "x".repeat(32 * 2 ** 20) }] }),
    };
    await using server = await startHttpServer(NO_SERVERS, { extension: { tools: [big] } });
    const version = "2026-07-28";
    const meta = {
      "io.modelcontextprotocol/protocolVersion": version,
      "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
      "io.modelcontextprotocol/clientCapabilities": {},
    };
    const current = { "mcp-protocol-version": version, "mcp-method": "tools/call", "mcp-name": "big" };
    const headers: Record<string, string> =
      what === "stream" ? { "mcp-session-id": await server.initialize() } : current;
    const params = { name: "big", arguments: {}, ...(what !== "stream" && { _meta: meta }) };
    const body = JSON.stringify({ ...call("big"), params });
    const socket = connect(server.port, "127.0.0.1");
    socket.write(head(server.port, { ...headers, "content-length": String(body.length) }) + body);
    await once(socket, "readable");
    expect(String(socket.read(12))).toBe("HTTP/1.1 200");
    // More than the head: the answer has been written, as a whole.
    while (socket.bytesRead < 2 ** 14) await new Promise((resolve) => setImmediate(resolve));
    for (let count = 0; count < 6; count++) server.clock.advance(15_000);
    let size = 0;
    socket.on("error", () => {}).on("data", (chunk: Buffer) => (size += chunk.byteLength));
    await once(socket, "close");
    expect(size).toBeLessThan(32 * 2 ** 20);
  });
});

test("a client that reads a large answer slowly and steadily gets all of it", async () => {
  const size = 32 * 2 ** 20;
  const big: ExtensionTool = {
    definition: { name: "big", inputSchema: { type: "object" } },
    run: () => ({ content: [{ type: "text", text: "x".repeat(size) }] }),
  };
  await using server = await startHttpServer(NO_SERVERS, { extension: { tools: [big] } });
  const body = JSON.stringify(call("big"));
  const socket = connect(server.port, "127.0.0.1");
  socket.write(head(server.port, { "content-length": String(body.length), connection: "close" }) + body);
  let read = 0;
  for (let wanted = 2 ** 21; wanted <= size; wanted += 2 ** 21) {
    while (read < wanted) {
      const chunk = socket.read() as Buffer | null;
      if (chunk) read += chunk.byteLength;
      else await once(socket, "readable");
      // It would be cut off.
      expect(socket.readableEnded).toBe(false);
    }
    server.clock.advance(15_000);
  }
  socket.destroy();
});

describe("bodies", () => {
  test("that are too large are refused before they have arrived, with and without a length", async () => {
    await using server = await startHttpServer({ ...NO_SERVERS, http: { maxRequestSize: 10_000 } });
    expect(await answerTo(server.port, head(server.port, { "content-length": "10001" }))).toMatch(/^HTTP\/1\.1 413 /);
    const chunk = `1000\r\n${"x".repeat(0x1000)}\r\n`;
    // There would be more.
    const chunked = head(server.port, { "transfer-encoding": "chunked" }) + chunk.repeat(3);
    expect(await answerTo(server.port, chunked)).toMatch(/^HTTP\/1\.1 413 /);
  });

  test("may not say in two ways how long they are", async () => {
    await using server = await startHttpServer(NO_SERVERS);
    const both = head(server.port, { "content-length": "5", "transfer-encoding": "chunked" });
    expect(await answerTo(server.port, `${both}0\r\n\r\nGET /mcp HTTP/1.1\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /);
  });

  const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
  test.each([
    ["nested 200 deep", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"x":${nested(200)}}}`],
    ["nested without end", "[".repeat(8 * 2 ** 20)],
    ["a list without end", `[${"{},".repeat(200_000)}{}]`],
    ["objects in objects", `{"a":`.repeat(100_000)],
    ["a batch of 101", `[${Array.from({ length: 101 }, (_, id) => JSON.stringify({ ...LIST, id })).join(",")}]`],
  ])("that unfold are refused: %s", async (_what, body) => {
    await using server = await startHttpServer(NO_SERVERS);
    expect(await statusOf(fetch(server.url, { method: "POST", headers: ACCEPT, body }))).toBe(400);
    const id = { "mcp-session-id": await server.initialize() };
    expect(await statusOf(fetch(server.url, { method: "POST", headers: { ...ACCEPT, ...id }, body }))).toBe(400);
    expect(server.lines.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("may hold large files with whatever signs in them", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer(poolOf(dav));
    const content = '[{"a,\\'.repeat(200_000);
    const put = call("dav_request", { method: "PUT", path: "/a", body: content });
    expect((await messagesOf(await server.post(put)))[0]).toMatchObject({
      result: { structuredContent: { status: 201 } },
    });
    expect((dav.requests.at(-1)?.headers ?? {})["content-length"]).toBe(String(content.length));
  });

  test.each([
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"dav_pool_stats","arguments":{"__proto__":{"polluted":1}}}}`,
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","__proto__":{"polluted":1},"params":{"__proto__":{"name":"x"},"name":"dav_request","arguments":{"method":"GET","path":"/","headers":{"__proto__":{"polluted":"1"}}}}}`,
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"__proto__","arguments":{"constructor":{"prototype":{"polluted":1}}}}}`,
    `{"jsonrpc":"2.0","id":1,"method":"__proto__"}`,
    `{"jsonrpc":"2.0","id":"__proto__","method":"tools/list","params":{"_meta":{"__proto__":{"polluted":1},"traceparent":{"__proto__":1}}}}`,
  ])("do not reach what objects inherit: %s", async (body) => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer(poolOf(dav));
    const id = { "mcp-session-id": await server.initialize() };
    for (const headers of [ACCEPT, { ...ACCEPT, ...id }]) {
      const response = await fetch(server.url, { method: "POST", headers, body });
      await response.text();
      expect(response.status).toBeLessThan(500);
    }
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    expect(server.lines.filter(({ level }) => level === "error")).toEqual([]);
  });
});

describe("what a stranger writes", () => {
  const EVIL = 'x\r\nset-cookie: evil=1\r\n\r\n{"level":"error"}\u001b[31m\u009b\u2028\u0000';

  test("never becomes a header, of an answer or of a request to a server", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer(poolOf(dav));
    const id = { "mcp-session-id": await server.initialize() };
    const answers: Response[] = [];
    const dishes = ["a\tb", "a%0d%0aset-cookie: evil=1", "é", 'a"; x="b'];
    for (const value of dishes)
      for (const name of [
        "x-request-id",
        "origin",
        "mcp-session-id",
        "mcp-protocol-version",
        "last-event-id",
        "traceparent",
        "mcp-name",
      ])
        answers.push(await server.post(LIST, { ...id, [name]: Buffer.from(value).toString("latin1") }));
    answers.push(await server.post({ ...LIST, id: EVIL }, id));
    answers.push(await server.post({ ...INITIALIZE, id: EVIL }));
    for (const answer of answers) {
      await answer.text();
      expect(answer.headers.get("set-cookie")).toBeNull();
      expect(answer.status).toBeLessThan(500);
    }
    // Line ends in a head end it, for this server as for any.
    const split = head(server.port, { "x-request-id": "a\r\nx-evil: 1", connection: "close" }, "GET");
    expect(await answerTo(server.port, split)).not.toContain("x-evil");
    const before = dav.requests.length;
    for (const parameters of [
      { method: "GET", path: `/${EVIL}` },
      { method: "GET", path: "/", headers: { "x-a": EVIL } },
      { method: "GET", path: "/", headers: { [EVIL]: "a" } },
      { method: `GET / HTTP/1.1\r\nx-evil: 1`, path: "/" },
      { method: "MOVE", path: "/", headers: { Destination: EVIL } },
      { method: "PROPFIND", path: "/", depth: EVIL },
    ])
      expect(await statusOf(server.post(call("dav_request", parameters), id))).toBe(200);
    for (const { headers } of dav.requests.slice(before)) {
      expect(headers).not.toHaveProperty("x-evil");
      expect(headers).not.toHaveProperty("set-cookie");
    }
  });

  test("never makes a line of the log, nor steers a terminal that shows it", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer({ ...poolOf(dav), security: { managementTools: true } });
    const clientInfo = { name: EVIL, version: EVIL };
    const opened = await server.post({ ...INITIALIZE, params: { ...INITIALIZE.params, clientInfo } });
    await opened.text();
    const id = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
    const messages = [
      call(EVIL),
      call("dav_request", { method: "GET", path: EVIL, serverId: EVIL }),
      call("dav_request", { method: EVIL, path: "/" }),
      call("dav_add_server", { serverId: EVIL, url: `http://8.8.8.8/${EVIL}` }),
      call("dav_remove_server", { serverId: EVIL }),
      { jsonrpc: "2.0", id: 1, method: EVIL },
      { jsonrpc: "2.0", method: EVIL },
      { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: EVIL, reason: EVIL } },
      { jsonrpc: "2.0", id: EVIL, result: { [EVIL]: EVIL } },
      { jsonrpc: "2.0", id: 1, method: "resources/read", params: { uri: EVIL } },
    ];
    for (const message of messages) await statusOf(server.post(message, id));
    await statusOf(fetch(server.url, { method: "POST", headers: { ...ACCEPT, ...id }, body: EVIL }));
    for (const line of written(server.lines)) {
      expect(line.endsWith("\n")).toBe(true);
      expect(() => JSON.parse(line) as unknown).not.toThrow();
      // oxlint-disable-next-line no-control-regex -- these are what is looked for
      expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
    }
  });
});

test("secrets are in no line, span or measurement, and no tool sees how its caller is known", async () => {
  await using collector = await startCollector();
  await using dav = await createWebDavServer({ auth: { username: "alice", password: "planted-password" } });
  await using telemetry = await runTelemetry({
    otlp: { endpoint: collector.url, headers: { "x-key": "planted-collector-key" } },
    prometheus: true,
  });
  const { token, hash } = createToken();
  const seen: string[] = [];
  const look: ExtensionTool = {
    definition: { name: "look", inputSchema: { type: "object" } },
    run: (_written, { http }) => {
      seen.push(JSON.stringify([http?.authInfo, [...(http?.req?.headers.entries() ?? [])]]));
      return { content: [] };
    },
  };
  const dead = { serverId: "dead", url: "http://127.0.0.1:9/", username: "bob", password: "planted-other" };
  await using server = await startHttpServer(
    {
      pools: {
        files: {
          transport: "webdav",
          servers: [{ serverId: "s1", url: dav.url, username: "alice", password: "planted-password" }, dead],
        },
      },
      identity: { tokens: [{ principal: "alice", hash }] },
    },
    { extension: { tools: [look] } },
  );
  const known = { ...bearer(token), cookie: "session=planted-cookie" };
  const id = { ...known, "mcp-session-id": await server.initialize(known) };
  const messages = [
    call("look"),
    call("dav_request", { method: "GET", path: "/a" }),
    call("dav_request", { method: "GET", path: "/a", serverId: "dead" }),
    call("dav_request", { method: "GET", path: "/", headers: { Authorization: "Basic planted-header" } }),
    call("dav_request", { method: "GET", path: "/", headers: { "X-Api-Key": "planted-api-key", bad: "planted\n" } }),
    call("dav_add_server", { serverId: "x", url: "http://u:planted-in-url@8.8.8.8/", password: "planted-added" }),
    call("dav_update_server", { serverId: "s1", password: "planted-updated" }),
    call("dav_list_servers"),
    call("dav_pool_stats"),
  ];
  const answers: unknown[] = [];
  for (const message of messages)
    for (const headers of [id, known]) answers.push(await messagesOf(await server.post(message, headers)));
  const address = `${server.url}?access_token=planted-in-address`;
  for (const headers of [
    {},
    bearer("planted-wrong"),
    { authorization: "planted-odd" },
    { authorization: "Basic cGxhbnRlZA==" },
  ])
    await statusOf(fetch(address, { method: "POST", headers: { ...ACCEPT, ...headers }, body: "planted{" }));
  const metrics = await new Promise<string>((resolve) => {
    telemetry.metricsHandler?.({} as never, { setHeader() {}, end: resolve } as never);
  });
  await telemetry.flush();

  const out = [
    ...written(server.lines),
    ...telemetry.log.lines,
    metrics,
    JSON.stringify(collector.spans()),
    Buffer.concat(collector.requests.map(({ body }) => body)).toString("latin1"),
  ].join("\n");
  expect(collector.spans().length).toBeGreaterThan(10);
  expect(metrics).toContain("mcp_server_operation_duration");
  const found = ["planted", "cGxhbnRlZA", token, hash].map((secret) => out.indexOf(secret)).filter((at) => at >= 0);
  expect(found.map((at) => out.slice(Math.max(0, at - 100), at + 100))).toEqual([]);
  expect(JSON.stringify(answers)).not.toMatch(/planted-(?:password|other|added|updated)/);
  expect(seen).toHaveLength(2);
  for (const secret of [token, "planted"]) expect(seen.join()).not.toContain(secret);
});
