import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createWebDavCluster, createWebDavServer, type WebDavServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { openTools, type OpenTools } from "../testing/tools.test-support.ts";

function over(server: WebDavServer, config: object = {}): Promise<OpenTools> {
  const servers = [{ serverId: "only", url: server.url, group: "all" }];
  return openTools({ pools: { files: { transport: "webdav", health: { enabled: false }, servers } }, ...config });
}

describe("the body of an answer", () => {
  test("comes as text when it is UTF-8, and as base64 when it is not", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/text.txt", "Grüße, 世界");
    server.tree.write("/bytes.bin", Uint8Array.of(0xff, 0xfe, 0, 1));
    server.tree.write("/zero.bin", Uint8Array.of(0x61, 0, 0x62));
    await using tools = await over(server);
    const read = async (path: string) => (await tools.call("dav_request", { method: "GET", path })).value;
    expect(await read("/text.txt")).toMatchObject({ body: "Grüße, 世界", bodyEncoding: "utf8" });
    expect(await read("/bytes.bin")).toMatchObject({ body: "//4AAQ==", bodyEncoding: "base64" });
    expect(await read("/zero.bin")).toMatchObject({ bodyEncoding: "base64" });
  });

  test("is cut at the limit, between characters, and the rest can be had as the answer says", async () => {
    await using server = await createWebDavServer();
    const text = "äöü".repeat(400);
    server.tree.write("/long.txt", text);
    await using tools = await over(server, { tools: { maxBodySize: 1_001 } });
    const { value } = await tools.call("dav_request", { method: "GET", path: "/long.txt" });
    expect(value).toMatchObject({ truncated: true, size: 2_400, bodyEncoding: "utf8", status: 200 });
    expect(value.body).toBe(text.slice(0, 500));
    const next = /bytes=(\d+)-/.exec(value.hint)?.[1];
    const rest = await tools.call("dav_request", {
      method: "GET",
      path: "/long.txt",
      serverId: value.serverId,
      headers: { Range: `bytes=${next}-1999` },
    });
    expect(rest.value).toMatchObject({ status: 206, success: true });
    expect(value.body + rest.value.body).toBe(text.slice(0, 1_000));

    const tail = await tools.call("dav_request", {
      method: "GET",
      path: "/long.txt",
      headers: { Range: "bytes=1000-" },
    });
    expect(tail.value).toMatchObject({ status: 206, truncated: true, size: 2_400 });
    expect(tail.value.hint).toContain("bytes=2000-");
  });

  test("of a request that changes something may break off: the status stands, and the hint says what to do", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a.txt", "text");
    await using tools = await over(server);
    await server.inject({ kind: "truncate", afterBytes: 5, times: 1 });
    const { value } = await tools.call("dav_request", { method: "POST", path: "/a.txt", body: "x" });
    expect(value).toMatchObject({ status: 405, truncated: true, success: false });
    expect(value.hint).toMatch(/broke off after 5 bytes: .* do not repeat/);
  });

  test("of a listing that is too long asks for less", async () => {
    await using server = await createWebDavServer();
    for (let index = 0; index < 20; index++) server.tree.write(`/file-${index}`, "x");
    await using tools = await over(server, { tools: { maxBodySize: 500 } });
    const { value } = await tools.call("dav_request", { method: "PROPFIND", path: "/" });
    expect(value).toMatchObject({ truncated: true, status: 207, success: true });
    expect(value.hint).toContain("smaller depth");
  });
});

test("PROPFIND asks for depth 1 unless told otherwise, and XML is called so", async () => {
  await using server = await createWebDavServer();
  await using tools = await over(server);
  await tools.call("dav_request", { method: "propfind", path: "/" });
  await tools.call("dav_request", {
    method: "PROPFIND",
    path: "/",
    depth: "0",
    body: "<propfind xmlns='DAV:'><allprop/></propfind>",
  });
  await tools.call("dav_request", { method: "PROPFIND", path: "/", headers: { depth: "0" } });
  expect(server.requests.map(({ headers }) => headers.depth)).toEqual(["1", "0", "0"]);
  expect(server.requests[1]?.headers["content-type"]).toBe("application/xml; charset=utf-8");
});

test("a 207 that hides a failure is no success, and names the part that failed", async () => {
  await using server = await createWebDavServer();
  server.tree.write("/folder/locked.txt", "x");
  await using tools = await over(server);
  const lock = await tools.call("dav_request", {
    method: "LOCK",
    path: "/folder/locked.txt",
    depth: "0",
    body: "<lockinfo xmlns='DAV:'><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>",
  });
  expect(lock.value).toMatchObject({ status: 200, success: true });
  const { value, isError } = await tools.call("dav_request", { method: "DELETE", path: "/folder/" });
  expect(isError).toBeFalsy();
  expect(value).toMatchObject({ status: 207, success: false });
  expect(value.failures).toContainEqual({ href: "/dav/folder/locked.txt", status: 423 });
  expect(server.tree.exists("/folder/locked.txt")).toBe(true);
});

test("an answer that no WebDAV server gives is no success, and the hint says what to check", async () => {
  await using server = await createWebDavServer();
  await using tools = await over(server);
  await server.inject({ kind: "status", status: 200, headers: { "content-type": "text/html" } });
  const lock = { method: "LOCK", path: "/a", body: "<lockinfo xmlns='DAV:'/>" };
  for (const request of [{ method: "PROPFIND", path: "/" }, { method: "MKCOL", path: "/a/" }, lock]) {
    const { value } = await tools.call("dav_request", request);
    expect(value).toMatchObject({ success: false, status: 200 });
    expect(value.hint).toMatch(/no answer of a WebDAV server: it answered .* Check the server's url/);
  }
});

test("a redirect is told: where it led, or why it was not followed", async () => {
  await using server = await createWebDavServer();
  server.tree.write("/b", "text");
  await using tools = await over(server);
  const to = (location: string) => ({ kind: "status", status: 302, path: "/a", headers: { location } }) as const;
  await using inside = await server.inject(to("/dav/b"));
  const read = { method: "GET", path: "/a" };
  expect((await tools.call("dav_request", read)).value).toMatchObject({ success: true, redirectedTo: "/b" });
  await inside.off();
  await server.inject(to("https://storage.example.com/b"));
  const elsewhere = (await tools.call("dav_request", read)).value;
  expect(elsewhere).toMatchObject({ success: false, status: 302 });
  expect(elsewhere.hint).toMatch(/redirects to https:\/\/storage\.example\.com\/b.*change the server's url/);
  const removed = (await tools.call("dav_request", { ...read, method: "DELETE" })).value;
  expect(removed.hint).toMatch(/change something are not redirected/);
});

/** The tools over one server that answers every request with this multistatus. */
async function overMultistatus(text: string): Promise<OpenTools> {
  const server = createServer((_request, response) =>
    response.writeHead(207, { "content-type": "application/xml" }).end(text),
  ).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const servers = [{ serverId: "only", url: `http://127.0.0.1:${port}/dav/` }];
  const tools = await openTools({ pools: { files: { transport: "webdav", health: { enabled: false }, servers } } });
  return {
    ...tools,
    async [Symbol.asyncDispose]() {
      await tools[Symbol.asyncDispose]();
      server.close();
    },
  };
}

test("404 inside a 207 is no success for PROPFIND, and news for REPORT", async () => {
  await using tools = await overMultistatus(
    `<multistatus xmlns="DAV:"><response><href>/dav/a</href><status>HTTP/1.1 404 Not Found</status></response></multistatus>`,
  );
  const ask = async (method: string) => (await tools.call("dav_request", { method, path: "/a" })).value;
  expect(await ask("PROPFIND")).toMatchObject({ success: false, failures: [{ href: "/dav/a", status: 404 }] });
  expect(await ask("REPORT")).toMatchObject({ success: true, status: 207 });
});

test.each([
  ["a raw &", "Q&A"],
  ["a control character", "bell \u0007"],
])("%s in a listing does not withhold it: the hint names server and place", async (_name, name) => {
  const text = `<multistatus xmlns="DAV:">\n<response><href>/dav/a</href><propstat><prop><displayname>${name}</displayname></prop></propstat></response></multistatus>`;
  await using tools = await overMultistatus(text);
  const { value } = await tools.call("dav_request", { method: "PROPFIND", path: "/" });
  expect(value).toMatchObject({ success: false, status: 207, body: text });
  expect(value.hint).toMatch(
    /not well-formed.* At line and column 2:\d+: .*The body of server "only" is given as it came/,
  );
  await expect(tools.call("dav_request", { method: "PROPPATCH", path: "/a", body: "<x/>" })).rejects.toThrow(
    /PROPPATCH/,
  );
});

test("an HTTP error is an answer, not an error of the tool", async () => {
  await using server = await createWebDavServer();
  await using tools = await over(server);
  const { value, isError } = await tools.call("dav_request", { method: "GET", path: "/missing" });
  expect(isError).toBeFalsy();
  expect(value).toMatchObject({ success: false, status: 404, serverId: "only" });
});

test("attempts are told when there was more than one", async () => {
  await using cluster = await createWebDavCluster({ servers: 2 });
  cluster.tree?.write("/a.txt", "text");
  await cluster.servers[0]?.stop();
  await using tools = await openTools({
    pools: {
      files: {
        transport: "webdav",
        health: { enabled: false },
        servers: cluster.urls.map((url, index) => ({ serverId: `s${index}`, url, priority: index + 1 })),
      },
    },
  });
  const { value } = await tools.call("dav_request", { method: "GET", path: "/a.txt" });
  expect(value).toMatchObject({
    serverId: "s1",
    attempts: [
      { serverId: "s0", outcome: "failed", failure: "unsent", message: "connection refused" },
      { serverId: "s1", outcome: "answered" },
    ],
  });
});

describe("a group", () => {
  test("is asked in parallel; every member reports, and one answer is enough to be no error", async () => {
    await using cluster = await createWebDavCluster({ servers: 3, tree: "separate" });
    await using tools = await openTools({
      pools: {
        files: {
          transport: "webdav",
          health: { enabled: false },
          failover: { type: "default", backoff: "1ms" },
          servers: cluster.urls.map((url, index) => ({ serverId: `s${index}`, url, group: "all", retryAttempts: 0 })),
        },
      },
    });
    await cluster.servers[1]?.stop();
    await cluster.servers[2]?.inject({ kind: "status", status: 507 });
    const put = { method: "PUT", path: "/a.txt", body: "text", serverGroup: "all" };
    const some = await tools.call("dav_request", put);
    expect(some.isError).toBe(false);
    expect(some.value.results).toMatchObject([
      { serverId: "s0", success: true, status: 201 },
      { serverId: "s1", success: false, error: { code: "NO_SERVER_AVAILABLE" } },
      { serverId: "s2", success: false, status: 507 },
    ]);
    for (const server of cluster.servers) await server.stop();
    const none = await tools.call("dav_request", put);
    expect(none.isError).toBe(true);
    expect(none.value.results).toHaveLength(3);
  });
});

describe("the answers of a group become one", () => {
  const config = (urls: readonly string[]) => ({
    pools: {
      files: {
        transport: "webdav",
        health: { enabled: false },
        servers: urls.map((url, index) => ({ serverId: `s${index}`, url, group: "all", retryAttempts: 0 })),
      },
    },
  });
  const read = { method: "GET", path: "/a.txt", serverGroup: "all" };

  test("by majority, which names who differs", async () => {
    await using cluster = await createWebDavCluster({ servers: 3, tree: "separate" });
    for (const [index, { tree }] of cluster.servers.entries()) tree.write("/a.txt", index === 1 ? "old" : "new");
    await using tools = await openTools(config(cluster.urls));
    const { value } = await tools.call("dav_request", { ...read, aggregate: "majority" });
    expect(value.chosen).toEqual({ from: ["s0", "s2"], dissenters: ["s1"] });
    expect(value.results.map(({ body }: { body: string }) => body)).toEqual(["new", "old", "new"]);
  });

  test("by the first success, which a 404 is not", async () => {
    await using cluster = await createWebDavCluster({ servers: 2, tree: "separate" });
    cluster.servers[1]?.tree.write("/a.txt", "here");
    await using tools = await openTools(config(cluster.urls));
    const { value } = await tools.call("dav_request", { ...read, aggregate: "first" });
    expect(value.chosen.from).toEqual(["s1"]);
  });

  test("with a quorum, which a full disk does not help to meet", async () => {
    await using cluster = await createWebDavCluster({ servers: 3, tree: "separate" });
    await cluster.servers[2]?.inject({ kind: "status", status: 507 });
    await using tools = await openTools(config(cluster.urls));
    const put = { method: "PUT", path: "/b.txt", body: "x", serverGroup: "all" };
    const two = await tools.call("dav_request", { ...put, quorum: 2 });
    expect(two.value.quorum).toEqual({ required: 2, succeeded: 2, met: true });
    const three = await tools.call("dav_request", { ...put, quorum: 3 });
    expect(three.value.quorum).toEqual({ required: 3, succeeded: 2, met: false });
  });

  test("only for a group, and only in ways that there are", async () => {
    await using cluster = await createWebDavCluster({ servers: 1 });
    await using tools = await openTools(config(cluster.urls));
    await expect(tools.call("dav_request", { method: "GET", path: "/", quorum: 1 })).rejects.toThrow(/serverGroup/);
    await expect(tools.call("dav_request", { ...read, aggregate: "mean" })).rejects.toMatchObject({
      code: "UNKNOWN_AGGREGATOR",
    });
  });
});

test("a cancelled call stops at the server", async () => {
  await using server = await createWebDavServer();
  await server.inject({ kind: "blackhole" });
  await using tools = await over(server);
  const controller = new AbortController();
  const arrived = server.nextRequest();
  const call = tools.call("dav_request", { method: "GET", path: "/" }, controller.signal);
  await arrived;
  controller.abort();
  await expect(call).rejects.toMatchObject({ code: "CANCELLED" });
  await server.disconnected();
});

describe("several pools", () => {
  test("have their name before each tool's", async () => {
    await using one = await createWebDavServer();
    await using two = await createWebDavServer();
    await using tools = await openTools({
      pools: {
        "team.a": { transport: "webdav", servers: [{ serverId: "s", url: one.url }] },
        team_b: { transport: "webdav", servers: [{ serverId: "s", url: two.url }] },
      },
    });
    expect(tools.names).toContain("team-a__dav_request");
    await tools.call("team_b__dav_request", { method: "PUT", path: "/x", body: "b" });
    expect(one.tree.exists("/x")).toBe(false);
    expect(two.tree.readText("/x")).toBe("b");
  });
});

test("security.managementTools: false leaves only the tools that change no servers", async () => {
  await using server = await createWebDavServer();
  await using tools = await over(server, { security: { managementTools: false } });
  expect(tools.names).toEqual(["dav_list_servers", "dav_pool_stats", "dav_request"]);
});

describe("headers", () => {
  const get = (headers: Record<string, string>, more: object = {}) => ({ method: "GET", path: "/a", headers, ...more });

  test.each([
    [{ Destination: "/b", destination: "/c" }, {}, "says the same as Destination"],
    [{ "If-Match": "a", "IF-MATCH": "b" }, {}, "says the same as If-Match"],
    [{ "If-Match": "a", " if-match": "b" }, {}, "says the same as If-Match"],
    [{ Depth: "0" }, { depth: "1" }, "says the same as the argument depth"],
  ])("that stand twice (%j) are refused before anything is sent", async (headers, more, message) => {
    await using server = await createWebDavServer();
    await using tools = await over(server);
    await expect(tools.call("dav_request", get(headers as never, more))).rejects.toMatchObject({
      code: "INVALID_ARGUMENTS",
      message: expect.stringContaining(message) as string,
    });
    expect(server.requests).toEqual([]);
  });

  test.each([
    ["Cookie", "is never passed on"],
    ["Authorization", "is never passed on"],
    ["X-Forwarded-For", "is never passed on"],
    ["Forwarded", "is never passed on"],
    ["X-HTTP-Method-Override", "is never passed on"],
    ["Proxy-Authorization", "is never passed on"],
    ["Transfer-Encoding", "is never passed on"],
    ["X-Custom", "the operator can allow it with security.requestHeaders"],
    ["If-Mach", 'Did you mean "if-match"?'],
  ])("that nobody allows (%s) are refused before anything is sent", async (name, message) => {
    await using server = await createWebDavServer();
    await using tools = await over(server);
    await expect(tools.call("dav_request", get({ [name]: "x" }))).rejects.toMatchObject({
      code: "INVALID_ARGUMENTS",
      message: expect.stringContaining(message) as string,
    });
    expect(server.requests).toEqual([]);
  });

  test("that the operator allows pass, in both directions", async () => {
    await using server = await createWebDavServer();
    const headers = { "X-Trace": "t", "X-Other": "o", "Set-Cookie": "session=1", ETag: '"e"' };
    await server.inject({ kind: "status", status: 200, headers, body: "text" });
    await using tools = await over(server, {
      security: { requestHeaders: ["X-Custom"], responseHeaders: ["x-trace"] },
    });
    const { value } = await tools.call("dav_request", get({ "x-custom": "1", Range: "bytes=0-1" }));
    expect(server.requests.at(-1)?.headers).toMatchObject({ "x-custom": "1", range: "bytes=0-1" });
    expect(value.headers).toMatchObject({ "x-trace": "t", etag: '"e"' });
    expect(Object.keys(value.headers)).not.toContain("set-cookie");
    expect(Object.keys(value.headers)).not.toContain("x-other");
  });

  test("that never pass are an error in the configuration", async () => {
    const pools = { files: { transport: "webdav" } };
    const security = { requestHeaders: ["Cookie"], responseHeaders: ["X-A", "set-cookie"] };
    await expect(openTools({ pools, security })).rejects.toMatchObject({
      issues: [{ path: "security.requestHeaders[0]" }, { path: "security.responseHeaders[1]" }],
    });
  });
});

describe("a group", () => {
  const config = (urls: readonly string[]) => ({
    pools: {
      files: {
        transport: "webdav",
        health: { enabled: false },
        servers: urls.map((url, index) => ({ serverId: `s${index + 1}`, url, group: "all" })),
      },
    },
    tools: { maxBodySize: 10 },
  });

  test("majority tells files apart that differ only beyond what is shown of them", async () => {
    await using one = await createWebDavServer();
    await using two = await createWebDavServer();
    await using three = await createWebDavServer();
    for (const server of [one, two, three]) server.tree.write("/f", `same beginning ${server === two ? "2" : "1"}`);
    await using tools = await openTools(config([one.url, two.url, three.url]));
    const { value } = await tools.call("dav_request", {
      method: "GET",
      path: "/f",
      serverGroup: "all",
      aggregate: "majority",
    });
    expect(value.chosen).toEqual({ from: ["s1", "s3"], dissenters: ["s2"] });
    expect(value.results[0]).toMatchObject({ truncated: true, body: "same begin" });
  });

  test.each(["first", "fastest"])("%s waits for every upload to end", async (aggregate) => {
    await using one = await createWebDavServer();
    await using two = await createWebDavServer();
    await using three = await createWebDavServer();
    const delay = await two.inject({ kind: "delay", ms: Infinity, methods: ["PUT"] });
    await using tools = await openTools(config([one.url, two.url, three.url]));
    const put = { method: "PUT", path: "/f", body: "text", serverGroup: "all", aggregate };
    const work = tools.call("dav_request", put);
    for (const server of [one, three]) {
      await server.received();
      await server.idle();
    }
    await two.received();
    await delay.off();
    const { value } = await work;
    expect(value.results.map(({ status }: { status: number }) => status)).toEqual([201, 201, 201]);
    for (const server of [one, two, three]) expect(server.tree.readText("/f")).toBe("text");
  });
});
