import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { createWebDavServer, type WebDavServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { createToken } from "../identity/index.ts";
import { INITIALIZE, messagesOf, startHttpServer } from "../testing/http-server.test-support.ts";

const poolOf = (...servers: readonly WebDavServer[]) => ({
  pools: {
    files: { transport: "webdav", servers: servers.map(({ url }, index) => ({ serverId: `s${index + 1}`, url })) },
  },
});

const call = (name: string, parameters: object = {}, id = 1) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name, arguments: parameters },
});

/** A request with any head at all: fetch refuses some. */
async function raw(port: number, path: string, headers: Record<string, string>, method = "GET") {
  const asked = request({ host: "127.0.0.1", port, path, method, headers }).end();
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  response.resume();
  await once(response, "end");
  return response;
}

describe.each(["older", "newer"] as const)("a client of the %s line", (line) => {
  test("lists tools and resources, calls tools, and hears of changes", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer(poolOf(dav));
    const client = await server.connect(line);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toContain("dav_request");
    const put = { method: "PUT", path: "/a.txt", body: "text" };
    const reply = await client.callTool({ name: "dav_request", arguments: put });
    expect(reply.structuredContent).toMatchObject({ serverId: "s1", status: 201 });
    const { resources } = await client.listResources();
    expect(resources).toMatchObject([{ uri: "davpool://pools/files", name: "files" }]);
    const { contents } = await client.readResource({ uri: "davpool://pools/files" });
    expect(JSON.parse((contents[0] as { text: string }).text)).toMatchObject({
      pool: "files",
      servers: [{ serverId: "s1" }],
    });
    await expect(client.readResource({ uri: "davpool://pools/other" })).rejects.toThrow(/There is no resource/);
    await client.close();
  });
});

test("a session's client is told when a pool changes that it has subscribed to", async () => {
  await using dav = await createWebDavServer();
  await using server = await startHttpServer(poolOf(dav));
  const id = { "mcp-session-id": await server.initialize() };
  const stream = await fetch(server.url, { headers: { accept: "text/event-stream", ...id } });
  const uri = "davpool://pools/files";
  const subscribe = (method: string, of = uri) =>
    server.post({ jsonrpc: "2.0", id: 1, method: `resources/${method}`, params: { uri: of } }, id).then(messagesOf);
  expect(await subscribe("subscribe", "davpool://pools/other")).toMatchObject([{ error: { code: -32_602 } }]);
  await subscribe("subscribe");
  const pool = server.open.pools.get("files");
  await pool?.update("s1", { enabled: false });
  const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n\n")) text += (await reader?.read())?.value ?? "";
  expect(text).toContain(`"method":"notifications/resources/updated","params":{"uri":"${uri}"}`);
  await subscribe("unsubscribe");
  await reader?.cancel();
});

describe("without a session", () => {
  test("requests of 2025-era clients are answered all the same", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer({ ...poolOf(dav), sessions: { enabled: false } });
    const opened = await server.post(INITIALIZE);
    expect([opened.status, opened.headers.get("mcp-session-id")]).toEqual([200, null]);
    await opened.text();
    const [answer] = await messagesOf(await server.post(call("dav_pool_stats")));
    expect(answer).toMatchObject({ id: 1, result: { structuredContent: { totalServers: 1 } } });
    expect((await fetch(server.url, { headers: { accept: "text/event-stream" } })).status).toBe(405);
    const client = await server.connect("older");
    expect((await client.callTool({ name: "dav_pool_stats", arguments: {} })).isError).not.toBe(true);
    await client.close();
  });
});

test("a stream of news keeps nobody from closing", async () => {
  await using server = await startHttpServer({ store: "memory", pools: { files: { transport: "webdav" } } });
  const client = await server.connect("newer");
  await client.listen({ toolsListChanged: true });
  // Time stands still: whatever waits for the stream would wait for ever.
  await server.close();
  await client.close().catch(() => undefined);
  expect(server.lines.filter(({ message }) => message.includes("cut off"))).toEqual([]);
});

describe("an operator's questions", () => {
  test("/healthz says that it lives, /readyz whether a server is usable", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer(poolOf(dav));
    const origin = new URL(server.url).origin;
    const ask = async (path: string) => (await fetch(origin + path)).status;
    expect([await ask("/healthz"), await ask("/readyz")]).toEqual([200, 200]);
    const down = Promise.withResolvers<void>();
    server.open.pools.get("files")?.on("server-unhealthy", () => down.resolve());
    await dav.stop();
    const get = call("dav_request", { method: "GET", path: "/", serverId: "s1" });
    for (let id = 0; id < 4; id++) await (await server.post(get)).text();
    await down.promise;
    expect([await ask("/healthz"), await ask("/readyz")]).toEqual([200, 503]);
  });
});

describe("requests that are not let in", () => {
  const setting = async (http: object = {}) =>
    startHttpServer({ ...poolOf(), pools: { files: { transport: "webdav" } }, http });

  test.each([
    [{ host: "evil.example" }, 403],
    [{ host: "127.0.0.1.evil.example" }, 403],
    [{ host: "localhost:1" }, 406],
    [{ origin: "http://evil.example" }, 403],
    [{ origin: "null" }, 403],
    [{ origin: "http://localhost:5173" }, 406],
    [{ origin: "https://allowed.example" }, 406],
    [{ host: "files.example.com" }, 406],
  ])("%o: %i", async (headers, status) => {
    await using server = await setting({
      allowedOrigins: ["https://allowed.example"],
      publicUrl: "https://files.example.com/mcp",
    });
    const host = `127.0.0.1:${server.port}`;
    // Whoever is let in is told what to accept.
    expect((await raw(server.port, "/mcp", { host, ...headers, "mcp-session-id": "x" })).statusCode).toBe(
      status === 406 ? 404 : status,
    );
  });

  test("pages of allowed origins are told what they may do and see", async () => {
    await using server = await setting();
    const origin = "http://localhost:5173";
    const asking = { origin, "access-control-request-headers": "content-type, mcp-param-region,Mcp-Param-b, x-evil" };
    const preflight = await fetch(server.url, { method: "OPTIONS", headers: asking });
    expect(preflight.headers.get("access-control-allow-headers")).toMatch(/, mcp-param-region, Mcp-Param-b$/);
    expect(preflight.headers.get("vary")).toContain("Access-Control-Request-Headers");
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe(origin);
    expect(preflight.headers.get("access-control-allow-headers")).toContain("Mcp-Session-Id");
    const answer = await server.post(INITIALIZE, { origin });
    expect(answer.headers.get("access-control-expose-headers")).toContain("Mcp-Session-Id");
    await answer.text();
  });

  test.each<[string, RequestInit, number, number]>([
    ["no JSON", { method: "POST", body: "{", headers: { "content-type": "application/json" } }, 400, -32_700],
    ["nothing", { method: "POST", body: "", headers: { "content-type": "application/json" } }, 400, -32_700],
    ["no JSON type", { method: "POST", body: "{}", headers: { "content-type": "text/plain" } }, 415, -32_000],
    [
      "too much",
      { method: "POST", body: "x".repeat(2_000), headers: { "content-type": "application/json" } },
      413,
      -32_000,
    ],
    ["a method of its own", { method: "PUT", body: "x" }, 405, -32_000],
  ])("%s", async (_name, init, status, code) => {
    await using server = await setting({ maxRequestSize: 1_024 });
    const response = await fetch(server.url, init);
    expect([response.status, ((await response.json()) as { error: { code: number } }).error.code]).toEqual([
      status,
      code,
    ]);
  });

  test("other paths", async () => {
    await using server = await setting();
    expect((await fetch(new URL("/", server.url))).status).toBe(404);
  });

  test("request ids are taken over when they are harmless, and made otherwise", async () => {
    await using server = await setting();
    const idOf = async (given: string) => {
      const response = await server.post(INITIALIZE, { "x-request-id": given });
      await response.text();
      return response.headers.get("x-request-id");
    };
    expect(await idOf("trace-42")).toBe("trace-42");
    expect(await idOf('a" onload="x')).toMatch(/^[\da-f-]{36}$/);
  });
});

describe("identity", () => {
  const reader = createToken();
  const writer = createToken();
  const identity = {
    tokens: [
      { principal: "rita", hash: reader.hash, scopes: ["read"] },
      { principal: "wally", hash: writer.hash, scopes: ["all"] },
    ],
    scopes: { read: { readOnly: true, tools: ["dav_request", "dav_list_*"] }, all: {} },
  };
  const as = ({ token }: { readonly token: string }) => ({ authorization: `Bearer ${token}` });

  test("strangers are told to bring a token", async () => {
    await using server = await startHttpServer({ ...poolOf(), pools: { files: { transport: "webdav" } }, identity });
    const answer = await server.post(INITIALIZE);
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toMatch(/^Bearer/);
    expect((await server.post(INITIALIZE, { authorization: "Bearer guess" })).status).toBe(401);
    expect((await fetch(new URL("/healthz", server.url))).status).toBe(200);
  });

  test("a principal sees and may do what its scopes grant", async () => {
    await using dav = await createWebDavServer();
    dav.tree.write("/a.txt", "text");
    await using server = await startHttpServer({ ...poolOf(dav), identity });
    const client = await server.connect("newer", as(reader));
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["dav_list_servers", "dav_request"]);
    const ask = async (parameters: object) => client.callTool({ name: "dav_request", arguments: { ...parameters } });
    expect((await ask({ method: "GET", path: "/a.txt" })).structuredContent).toMatchObject({ body: "text" });
    const denied = await ask({ method: "PUT", path: "/a.txt", body: "x" });
    expect(denied.isError).toBe(true);
    expect(JSON.stringify(denied.content)).toContain("ACCESS_DENIED");
    await expect(client.callTool({ name: "dav_pool_stats", arguments: {} })).rejects.toThrow(/There is no tool/);
    expect(dav.requests.map(({ method }) => method)).not.toContain("PUT");
    await client.close();
    const other = await server.connect("older", as(writer));
    const put = await other.callTool({ name: "dav_request", arguments: { method: "PUT", path: "/a.txt", body: "x" } });
    expect(put.structuredContent).toMatchObject({ status: 204 });
    await other.close();
  });

  test("nobody manages servers without a scope that says so", async () => {
    await using dav = await createWebDavServer();
    const [admin, member] = [createToken(), createToken()];
    await using server = await startHttpServer({
      ...poolOf(dav),
      identity: {
        tokens: [
          { principal: "ada", hash: admin.hash, scopes: ["admin"] },
          { principal: "mel", hash: member.hash, scopes: ["all"] },
        ],
        scopes: { admin: { manage: true }, all: {} },
      },
    });
    const management = ["dav_add_server", "dav_remove_server", "dav_set_active_server", "dav_update_server"];
    const managing = async (client: Awaited<ReturnType<typeof server.connect>>) =>
      (await client.listTools()).tools.map(({ name }) => name).filter((name) => management.includes(name));
    const mel = await server.connect("newer", as(member));
    expect(await managing(mel)).toEqual([]);
    const disable = { serverId: "s1", enabled: false };
    await expect(mel.callTool({ name: "dav_update_server", arguments: disable })).rejects.toThrow(/There is no tool/);
    const ada = await server.connect("newer", as(admin));
    expect((await managing(ada)).toSorted()).toEqual(management);
    const disabled = await ada.callTool({ name: "dav_update_server", arguments: disable });
    expect(disabled.structuredContent).toMatchObject({
      message:
        "Changed enabled. The configuration says otherwise; this stays in force, also after a restart, until it is changed back",
      server: { enabled: false, override: { enabled: false, by: "ada" } },
    });
    expect(server.lines).toContainEqual(
      expect.objectContaining({
        message: "ada changed the servers of the pool: update s1.",
        fields: expect.objectContaining({
          principal: "ada",
          from: { enabled: true },
          to: { enabled: false },
        }) as object,
      }),
    );
    await mel.close();
    await ada.close();
  });

  test("without scopes everybody with a token may do everything but manage servers", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer({
      ...poolOf(dav),
      identity: { tokens: [{ principal: "gus", hash: reader.hash }] },
    });
    const gus = await server.connect("newer", as(reader));
    expect((await gus.listTools()).tools.map(({ name }) => name)).toEqual([
      "dav_list_servers",
      "dav_pool_stats",
      "dav_request",
    ]);
    await gus.close();
  });

  test("a stream ends with the token that it was opened with", async () => {
    const guest = createToken();
    const expires = "2026-01-01T00:10:00Z";
    await using dav = await createWebDavServer();
    await using server = await startHttpServer({
      ...poolOf(dav),
      identity: { tokens: [{ principal: "gus", hash: guest.hash, expires }] },
    });
    const id = await server.initialize(as(guest));
    const stream = await fetch(server.url, {
      headers: { ...as(guest), accept: "text/event-stream", "mcp-session-id": id },
    });
    server.clock.advance(10 * 60_000);
    await expect(stream.text()).rejects.toThrow("terminated");
    expect((await server.post(INITIALIZE, as(guest))).status).toBe(401);
  });

  test("a session is not there for anybody but who opened it", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer({ ...poolOf(dav), identity });
    const id = await server.initialize(as(writer));
    const list = { jsonrpc: "2.0", id: 1, method: "tools/list" };
    const status = async (who: object) => {
      const response = await server.post(list, { ...who, "mcp-session-id": id });
      await response.text();
      return response.status;
    };
    expect([await status(as(writer)), await status(as(reader)), await status({})]).toEqual([200, 404, 401]);
    const ended = await fetch(server.url, { method: "DELETE", headers: { ...as(reader), "mcp-session-id": id } });
    expect([ended.status, await status(as(writer))]).toEqual([404, 200]);
  });
});

test("each principal reaches the servers with credentials of its own, and whoever has none does not", async () => {
  await using dav = await createWebDavServer();
  const [alice, bob, eve] = [createToken(), createToken(), createToken()];
  const tokens = [alice, bob, eve].map(({ hash }, index) => ({ principal: ["alice", "bob", "eve"][index], hash }));
  await using server = await startHttpServer({
    pools: {
      files: {
        transport: "webdav",
        servers: [{ serverId: "s1", url: dav.url, username: "shared", password: "s" }],
        credentials: {
          type: "principals",
          principals: { alice: { username: "alice", password: "a" }, bob: { username: "bob", password: "b" } },
        },
      },
    },
    identity: { tokens },
  });
  const ask = async ({ token }: { readonly token: string }) => {
    const headers = { authorization: `Bearer ${token}` };
    const get = call("dav_request", { method: "GET", path: "/a" });
    const [answer] = await messagesOf(await server.post(get, headers));
    return answer.result;
  };
  expect((await ask(alice)).structuredContent.status).toBe(404);
  expect((await ask(bob)).structuredContent.status).toBe(404);
  expect((await ask(eve)).content[0].text).toContain("NO_CREDENTIALS");
  const used = dav.requests.filter(({ method }) => method === "GET").map(({ headers }) => headers.authorization);
  expect(used).toEqual(["alice:a", "bob:b"].map((pair) => `Basic ${Buffer.from(pair).toString("base64")}`));
});

test("stopping lets requests in flight end, and takes no more", async () => {
  await using dav = await createWebDavServer();
  dav.tree.write("/slow.txt", "at last");
  await using server = await startHttpServer(poolOf(dav));
  const id = await server.initialize();
  const stream = await fetch(server.url, { headers: { accept: "text/event-stream", "mcp-session-id": id } });
  const held = await dav.inject({ kind: "delay", ms: Infinity, methods: ["GET"] });
  const slow = server.post(call("dav_request", { method: "GET", path: "/slow.txt" }), { "mcp-session-id": id });
  await dav.received(1, { method: "GET" });
  const closed = server.close();
  await held.off();
  const [answer] = await messagesOf(await slow);
  expect(answer).toMatchObject({ result: { structuredContent: { body: "at last" } } });
  await closed;
  await stream.text().catch(() => undefined);
  await expect(fetch(server.url)).rejects.toThrow("fetch failed");
});

test.each([
  ["/mcp/", "application/json, text/event-stream"],
  ["/mcp", "*/*"],
  ["/mcp", "text/html, */*;q=0.8"],
])("the endpoint is found at %s, and by who accepts %s", async (path, accept) => {
  await using dav = await createWebDavServer();
  await using server = await startHttpServer(poolOf(dav));
  const url = new URL(path, server.url);
  const headers = { "content-type": "application/json", accept };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(INITIALIZE) });
  expect([answer.status, answer.headers.get("mcp-session-id")]).toEqual([200, expect.any(String)]);
});
