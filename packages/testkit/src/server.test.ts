import { Agent, request as httpRequest } from "node:http";
import { describe, expect, expectTypeOf, test } from "vitest";
import type { LoggedRequest } from "./request-log.ts";
import { createWebDavServer } from "./server.ts";
import type { WebDavServer } from "./server.ts";

describe("a server's life", () => {
  test("it refuses connections once stopped, and comes back on the same port with its files", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a.txt", "text");
    const { url } = server;
    await server.stop();
    expect(await failureOf(url)).toBe("ECONNREFUSED");
    await server.start();
    expect(server.url).toBe(url);
    expect(await (await fetch(`${url}a.txt`)).text()).toBe("text");
  });

  test("stopping destroys connections with requests under way", async () => {
    await using server = await createWebDavServer();
    await server.inject({ kind: "blackhole" });
    const failed = failureOf(server.url);
    await server.received();
    await server.stop();
    expect(await failed).toMatch(/UND_ERR_SOCKET|ECONNRESET/);
    expect(server.connections).toBe(0);
  });

  test("starting and stopping twice does no harm, and the last call decides", async () => {
    await using server = await createWebDavServer();
    await Promise.all([server.stop(), server.start(), server.stop(), server.stop(), server.start(), server.start()]);
    expect((await fetch(server.url)).status).toBe(200);
  });

  test("a stopped server's port is not given to another", async () => {
    await using server = await createWebDavServer();
    await server.stop();
    await using taken = await createWebDavServer({ port: server.port });
    expect(taken.port).toBe(server.port);
    await expect(server.start()).rejects.toMatchObject({ code: "EADDRINUSE" });
    await taken.stop();
    await server.start();
    expect((await fetch(server.url)).status).toBe(200);
  });
});

describe("a server's log", () => {
  test("holds what came and what was answered", async () => {
    await using server = await createWebDavServer();
    await fetch(`${server.url}with%20space.txt`, { method: "PUT", body: "12345", headers: { "x-mark": "1" } });
    await fetch(`${server.url}nothing/`);
    expect(server.requests).toMatchObject([
      { method: "PUT", path: "/with space.txt", status: 201, bodyBytes: 5, headers: { "x-mark": "1" }, faults: [] },
      { method: "GET", path: "/nothing/", status: 404, bodyBytes: 0 },
    ]);
    server.clearRequests();
    expect(server.requests).toEqual([]);
    expectTypeOf(server.requests).toEqualTypeOf<readonly LoggedRequest[]>();
  });

  test("can be limited to the latest requests", async () => {
    await using server = await createWebDavServer({ logLimit: 2 });
    for (const name of ["a", "b", "c"]) await fetch(`${server.url}${name}`);
    expect(server.requests.map(({ path }) => path)).toEqual(["/b", "/c"]);
  });

  test("shows a path that climbs out of the base as it was sent, and refuses it", async () => {
    await using server = await createWebDavServer();
    expect(await rawStatus(server, "/dav/%2e%2e/etc")).toBe(400);
    expect(await rawStatus(server, "/dav/../etc")).toBe(400);
    expect(await rawStatus(server, "/etc")).toBe(404);
    expect(server.requests.map(({ path }) => path)).toEqual(["/dav/%2e%2e/etc", "/dav/../etc", "/etc"]);
  });

  test("tells connections apart", async () => {
    await using server = await createWebDavServer();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await rawStatus(server, "/dav/", agent);
    await rawStatus(server, "/dav/", agent);
    await rawStatus(server, "/dav/");
    expect(server.requests.map(({ connection }) => connection)).toEqual([1, 1, 2]);
    agent.destroy();
    await server.disconnected();
    expect([server.connections, server.connectionsAccepted]).toEqual([0, 2]);
  });
});

describe("waiting for a server", () => {
  test("for so many requests of a kind", async () => {
    await using server = await createWebDavServer();
    const received = server.received(2, { method: "delete", path: "/folder/*" });
    for (const path of ["a", "folder/b", "folder/c"]) await fetch(`${server.url}${path}`, { method: "DELETE" });
    expect((await received).map(({ path }) => path)).toEqual(["/folder/b", "/folder/c"]);
  });

  test("for a request of one path, however its slash", async () => {
    await using server = await createWebDavServer();
    const received = server.received(2, { path: "/a" });
    for (const path of ["b", "a/", "ab", "a"]) await fetch(`${server.url}${path}`);
    expect((await received).map(({ path }) => path)).toEqual(["/a/", "/a"]);
  });

  test("for the next request, before it is answered", async () => {
    await using server = await createWebDavServer();
    await fetch(server.url);
    const fault = await server.inject({ kind: "delay", ms: Infinity });
    const next = server.nextRequest((request) => request.method === "GET");
    const answered = fetch(server.url);
    expect(await next).toMatchObject({ method: "GET", status: undefined });
    await fault.off();
    expect((await answered).status).toBe(200);
    expect(await next).toMatchObject({ status: 200 });
  });

  test("for a request to be answered", async () => {
    await using server = await createWebDavServer();
    const answered = server.nextRequest(({ status }) => status === 201);
    for (const method of ["PUT", "PUT"]) await fetch(`${server.url}a`, { method, body: method });
    expect(await answered).toBe(server.requests[0]);
  });

  test("for it to have nothing left to do", async () => {
    await using server = await createWebDavServer();
    await server.inject({ kind: "blackhole" });
    const controller = new AbortController();
    const failed = failureOf(server.url, { signal: controller.signal });
    await server.received();
    const idle = server.idle();
    controller.abort();
    await expect(idle).resolves.toBeUndefined();
    await failed;
    await server.idle();
  });

  test("for connections to come and go", async () => {
    await using server = await createWebDavServer();
    const agent = new Agent({ keepAlive: true });
    const connected = server.connected(2);
    await Promise.all([rawStatus(server, "/dav/", agent), rawStatus(server, "/dav/", agent)]);
    await connected;
    agent.destroy();
    await server.disconnected();
    expect(server.connections).toBe(0);
  });
});

describe("credentials", () => {
  test("Basic", async () => {
    await using server = await createWebDavServer({ auth: { username: "älice", password: "p:w" } });
    const bare = await fetch(server.url);
    expect(bare.status).toBe(401);
    expect(bare.headers.get("www-authenticate")).toMatch(/^Basic /);
    expect((await fetch(server.url, { headers: basic("älice:p:w") })).status).toBe(200);
    expect((await fetch(server.url, { headers: basic("älice:other") })).status).toBe(401);
  });

  test("Bearer", async () => {
    await using server = await createWebDavServer({ auth: { token: "secret" } });
    const bare = await fetch(server.url, { method: "OPTIONS" });
    expect([bare.status, bare.headers.get("www-authenticate")]).toEqual([401, 'Bearer realm="testkit"']);
    expect((await fetch(server.url, { headers: { authorization: "Bearer secret" } })).status).toBe(200);
    expect((await fetch(server.url, { headers: { authorization: "Basic secret" } })).status).toBe(401);
  });
});

function basic(pair: string): { readonly authorization: string } {
  return { authorization: `Basic ${Buffer.from(pair).toString("base64")}` };
}

async function failureOf(url: string, init: RequestInit = {}): Promise<string> {
  try {
    await fetch(url, init);
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (typeof cause === "object" && cause !== null && "code" in cause) return String(cause.code);
    return String(error);
  }
  throw new Error("the request was answered");
}

/** `fetch` would resolve dot segments before it sends anything. */
function rawStatus(server: WebDavServer, path: string, agent?: Agent): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port: server.port, path, agent: agent ?? false };
    httpRequest(options, (response) => {
      response.resume().once("end", () => resolve(response.statusCode));
    })
      .once("error", reject)
      .end();
  });
}
