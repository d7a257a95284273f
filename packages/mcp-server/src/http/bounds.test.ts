import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { createWebDavServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { createToken } from "../identity/index.ts";
import { INITIALIZE, messagesOf, startHttpServer } from "../testing/http-server.test-support.ts";

const NO_SERVERS = { pools: { files: { transport: "webdav" } } };
const VERSION = "2026-07-28";
const META = {
  "io.modelcontextprotocol/protocolVersion": VERSION,
  "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};
const as = ({ token }: { readonly token: string }) => ({ authorization: `Bearer ${token}` });
const listening = { "mcp-protocol-version": VERSION, "mcp-method": "subscriptions/listen" };
const listen = (resourceSubscriptions: readonly string[] = []) => ({
  jsonrpc: "2.0",
  id: 1,
  method: "subscriptions/listen",
  params: { _meta: META, notifications: { toolsListChanged: true, resourceSubscriptions } },
});

/** Sends the beginning of a request whose body has so many bytes, and so many of these. */
function halfSent(port: number, headers: Record<string, string>, size: number, sent: number): Socket {
  const all = {
    host: `localhost:${port}`,
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "content-length": String(size),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {}).write(`POST /mcp HTTP/1.1\r\n${lines.join("")}\r\n`);
  socket.write(`{"x":"${"x".repeat(sent - 6)}`);
  return socket;
}

async function statusLine(socket: Socket): Promise<string> {
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
  while (!text.includes("\r\n")) await once(socket, "data");
  return text.slice(0, text.indexOf("\r\n"));
}

describe("requests that are half sent", () => {
  test("hold no more memory than there is for all of them and for each principal", async () => {
    const [alice, bob] = [createToken(), createToken()];
    await using server = await startHttpServer({
      ...NO_SERVERS,
      http: { requestMemory: { total: 1_000_000, perPrincipal: 600_000 } },
      identity: {
        tokens: [
          { principal: "alice", hash: alice.hash },
          { principal: "bob", hash: bob.hash },
        ],
      },
    });
    const sockets = [halfSent(server.port, as(alice), 400_000, 350_000)];
    const second = halfSent(server.port, as(alice), 400_000, 350_000);
    sockets.push(second);
    // One of the two finds no room; the other one waits for its rest.
    const refused = await Promise.race(sockets.map(statusLine));
    expect(refused).toContain("429");
    expect((await server.post(INITIALIZE, as(bob))).status).toBe(200);
    const alone = halfSent(server.port, as(bob), 700_000, 650_000);
    sockets.push(alone);
    expect(await statusLine(alone)).toContain("413");
    for (const socket of sockets) socket.destroy();
  });

  test("give their memory back when their client goes away", async () => {
    await using server = await startHttpServer({ ...NO_SERVERS, http: { requestMemory: { total: 500_000 } } });
    for (let round = 0; round < 5; round++) {
      const socket = halfSent(server.port, {}, 400_000, 350_000);
      // Its bytes have arrived when those of another one find no room.
      for (;;) {
        const other = halfSent(server.port, {}, 300_000, 250_000);
        const status = await Promise.race([statusLine(other), statusLine(socket)]);
        other.destroy();
        if (status.includes("429")) break;
      }
      socket.destroy();
    }
    for (;;) {
      const answer = await server.post({
        jsonrpc: "2.0",
        id: 1,
        method: "tools/list",
        params: { x: "x".repeat(400_000) },
      });
      await answer.text();
      if (answer.status === 429) continue;
      expect(answer.status).toBe(200);
      break;
    }
  });
});

test("a file of several megabytes arrives as it was sent, over every protocol", async () => {
  await using dav = await createWebDavServer();
  await using server = await startHttpServer({
    pools: { files: { transport: "webdav", servers: [{ serverId: "s1", url: dav.url }] } },
  });
  const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 7_919) % 251));
  const id = { "mcp-session-id": await server.initialize() };
  const current = { "mcp-protocol-version": VERSION, "mcp-method": "tools/call", "mcp-name": "dav_request" };
  const put = (path: string, body: object, meta?: object) => ({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "dav_request", arguments: { method: "PUT", path, ...body }, ...(meta && { _meta: meta }) },
  });
  const text = 'line "1"\n\t😀ü'.repeat(200_000);
  for (const [name, headers] of Object.entries({ session: id, none: {}, current })) {
    const meta = name === "current" ? META : undefined;
    const answers = [
      await server.post(put(`/${name}.bin`, { body: bytes.toString("base64"), bodyEncoding: "base64" }, meta), headers),
      await server.post(put(`/${name}.txt`, { body: text }, meta), headers),
    ];
    for (const answer of answers)
      expect((await messagesOf(answer)).at(-1)?.result.structuredContent).toMatchObject({ status: 201 });
    expect(bytes.equals(dav.tree.read(`/${name}.bin`))).toBe(true);
    expect(dav.tree.readText(`/${name}.txt`)).toBe(text);
  }
});

describe("one principal", () => {
  const alice = createToken();
  const tokens = [{ principal: "alice", hash: alice.hash }];
  const LIST = { jsonrpc: "2.0", method: "tools/list" };

  test("sends a batch of a hundred as a hundred requests", async () => {
    await using server = await startHttpServer({
      ...NO_SERVERS,
      identity: { tokens, rateLimit: { requests: 150, per: "1m" } },
    });
    const batch = Array.from({ length: 100 }, (_, id) => ({ ...LIST, id }));
    const status = async () => {
      const answer = await server.post(batch, as(alice));
      await answer.text();
      return answer.status;
    };
    expect(await status()).not.toBe(429);
    expect(await status()).toBe(429);
    server.clock.advance(60_000);
    expect(await status()).not.toBe(429);
  });

  test("has sixteen streams of news at most, and another one when one of them has ended", async () => {
    const bob = createToken();
    await using server = await startHttpServer({
      ...NO_SERVERS,
      identity: { tokens: [...tokens, { principal: "bob", hash: bob.hash }] },
    });
    const open = (who = alice) => server.post(listen(), { ...as(who), ...listening });
    const streams = await Promise.all(Array.from({ length: 16 }, () => open()));
    expect(streams.map(({ status }) => status)).toEqual(streams.map(() => 200));
    expect((await open()).status).toBe(429);
    const other = await open(bob);
    expect(other.status).toBe(200);
    await other.body?.cancel();
    await streams[0]?.body?.cancel();
    for (;;) {
      const again = await open();
      await again.body?.cancel();
      if (again.status === 200) break;
    }
    for (const stream of streams.slice(1)) await stream.body?.cancel();
  });

  test("listens to a thousand resources with one stream or session at most", async () => {
    await using server = await startHttpServer({ ...NO_SERVERS, identity: { tokens } });
    const many = Array.from({ length: 1_001 }, () => "davpool://pools/files");
    const refused = await server.post(listen(many), { ...as(alice), ...listening });
    expect([refused.status, await refused.json()]).toMatchObject([400, { error: { code: -32_602 } }]);
  });

  test("has a thousand subscriptions in one session at most, and another one when one of them has ended", async () => {
    const names = Array.from({ length: 1_001 }, (_, number) => `p${number}`);
    const pools = Object.fromEntries(names.map((name) => [name, { transport: "webdav" }]));
    await using server = await startHttpServer({ pools, identity: { tokens } });
    const session = { ...as(alice), "mcp-session-id": await server.initialize(as(alice)) };
    const ask = async (method: string, name = "") => {
      const message = { jsonrpc: "2.0", id: 1, method, params: { uri: `davpool://pools/${name}` } };
      const [answer] = await messagesOf(await server.post(message, session));
      return answer;
    };
    for (const name of names.slice(0, 1_000))
      expect(await ask("resources/subscribe", name), name).toMatchObject({ result: {} });
    const refusal = { error: { message: expect.stringContaining("1000 subscriptions at most") as string } };
    expect(await ask("resources/subscribe", "p1000")).toMatchObject(refusal);
    // What it has already takes no more place.
    expect(await ask("resources/subscribe", "p0")).toMatchObject({ result: {} });
    expect(await ask("resources/unsubscribe", "p0")).toMatchObject({ result: {} });
    expect(await ask("resources/subscribe", "p1000")).toMatchObject({ result: {} });
  });

  test("stores no server whose fields are longer than they may be", async () => {
    await using server = await startHttpServer(NO_SERVERS);
    const use = async (name: string, parameters: object) => {
      const message = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: parameters } };
      return messagesOf(await server.post(message));
    };
    const long = { group: 15 * 2 ** 20, username: 1_025, password: 4_097, token: 16_385, serverId: 129, url: 2_049 };
    for (const [field, length] of Object.entries(long)) {
      const fields = { serverId: "s1", url: "http://127.0.0.1:9/", [field]: "x".repeat(length) };
      const answer = JSON.stringify(await use("dav_add_server", fields));
      expect(answer).toContain(field);
      expect(answer).toMatch(/"isError":true|"error":/);
      expect(answer.length).toBeLessThan(10_000);
    }
    expect(server.open.pools.get("files")?.list()).toEqual([]);
  });
});

describe("a token that is not good any more", () => {
  const [alice, bob] = [createToken(), createToken()];
  const both = [
    { principal: "alice", hash: alice.hash },
    { principal: "bob", hash: bob.hash },
  ];
  /** Why a stream ended that nobody ended at this end. */
  const end = (response: Response) => response.text().catch((error: unknown) => String(error));

  test("ends every stream that it opened when it expires", async () => {
    await using server = await startHttpServer({
      ...NO_SERVERS,
      identity: { tokens: [{ ...both[0], expires: "2026-01-01T00:10:00Z" }] },
    });
    const news = await server.post(listen(), { ...as(alice), ...listening });
    const id = { ...as(alice), "mcp-session-id": await server.initialize(as(alice)) };
    const stream = await fetch(server.url, { headers: { ...id, accept: "text/event-stream" } });
    server.clock.advance(10 * 60_000 + 1_000);
    expect(await Promise.all([end(news), end(stream)])).toEqual(Array(2).fill(expect.stringContaining("terminated")));
  });

  test("ends its streams and sessions when a reload takes it away, and nobody else's", async () => {
    await using server = await startHttpServer({ ...NO_SERVERS, identity: { tokens: both } });
    const open = (who: typeof alice) => server.post(listen(), { ...as(who), ...listening });
    const [first, second] = [await open(alice), await open(bob)];
    await server.initialize(as(alice));
    const own = await server.initialize(as(bob));
    server.identifyBy({ tokens: [both[1]] });
    expect(await end(first)).toContain("terminated");
    expect(server.sessions.size).toBe(1);
    const LIST = { jsonrpc: "2.0", id: 1, method: "tools/list" };
    expect((await server.post(LIST, { ...as(bob), "mcp-session-id": own })).status).toBe(200);
    await second.body?.cancel();
  });

  test("ends streams also where only what it allows has changed", async () => {
    const tokens = [{ ...both[0], scopes: ["all"] }];
    await using server = await startHttpServer({ ...NO_SERVERS, identity: { tokens, scopes: { all: {} } } });
    const stream = await server.post(listen(), { ...as(alice), ...listening });
    server.identifyBy({ tokens, scopes: { all: { pools: ["files"] } } });
    expect(await end(stream)).toContain("terminated");
  });
});
