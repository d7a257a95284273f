import { DeadlineExceededError, OutcomeUnknownError, UnknownServerError, createManualClock } from "@davpool/core";
import { createWebDavServer, type WebDavServer } from "@davpool/testkit";
import type { Server } from "@modelcontextprotocol/server";
import { describe, expect, test } from "vitest";
import { createToken } from "../identity/index.ts";
import { INITIALIZE, messagesOf, startHttpServer, type TestHttpServer } from "../testing/http-server.test-support.ts";
import { CircuitBreaker } from "./circuit-breaker.ts";

const poolOf = (dav: WebDavServer) => ({
  pools: { files: { transport: "webdav", servers: [{ serverId: "s1", url: dav.url }] } },
});
const LIST = { jsonrpc: "2.0", id: 1, method: "tools/list" };
const MINUTE = 60_000;

const stats = (id = 1) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name: "dav_pool_stats", arguments: {} },
});

async function statusIn(server: TestHttpServer, id: string, headers: Record<string, string> = {}): Promise<number> {
  const response = await server.post(LIST, { ...headers, "mcp-session-id": id });
  await response.text();
  return response.status;
}

describe("a session", () => {
  test("ends when nobody uses it, and not before", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer(poolOf(dav));
    const [used, idle] = [await server.initialize(), await server.initialize()];
    server.clock.advance(6 * MINUTE);
    expect(await statusIn(server, used)).toBe(200);
    server.clock.advance(4 * MINUTE);
    expect([await statusIn(server, used), await statusIn(server, idle)]).toEqual([200, 404]);
    server.clock.advance(10 * MINUTE);
    server.clock.advance(1 * MINUTE);
    expect(server.sessions.size).toBe(0);
    expect(server.sessions.counts).toMatchObject({ created: 2, timedOut: 2 });
    // Nothing is left to look after.
    expect(server.clock.pending).toBe(0);
  });

  test("with a stream that is open lasts, but no longer than the longest time", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer({ ...poolOf(dav), sessions: { lifetime: "1h" } });
    const id = await server.initialize();
    const stream = await fetch(server.url, { headers: { accept: "text/event-stream", "mcp-session-id": id } });
    server.clock.advance(30 * MINUTE);
    expect(await statusIn(server, id)).toBe(200);
    server.clock.advance(31 * MINUTE);
    expect(await statusIn(server, id)).toBe(404);
    await stream.text();
  });

  test("ends when its client says so", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer(poolOf(dav));
    const id = await server.initialize();
    expect((await fetch(server.url, { method: "DELETE", headers: { "mcp-session-id": id } })).status).toBe(200);
    expect([await statusIn(server, id), server.sessions.size]).toEqual([404, 0]);
    expect(server.sessions.counts).toMatchObject({ created: 1, closed: 1, timedOut: 0 });
  });

  test("that broke is built anew behind the same id", async () => {
    await using dav = await createWebDavServer();
    const made: Server[] = [];
    await using server = await startHttpServer(poolOf(dav), {
      extension: { connect: (protocolServer) => void made.push(protocolServer) },
    });
    const id = await server.initialize();
    await made.at(-1)?.close();
    const [answer] = await messagesOf(await server.post(stats(7), { "mcp-session-id": id }));
    expect(answer).toMatchObject({ id: 7, result: { structuredContent: { totalServers: 1 } } });
    // Without a request, it is noticed by and by.
    await made.at(-1)?.close();
    server.clock.advance(MINUTE);
    expect(await statusIn(server, id)).toBe(200);
    expect(server.sessions.counts).toMatchObject({ created: 1, recovered: 2 });
    expect(made).toHaveLength(3);
  });

  test("that broke still tells its client of what it has subscribed to", async () => {
    await using dav = await createWebDavServer();
    const made: Server[] = [];
    await using server = await startHttpServer(poolOf(dav), {
      extension: { connect: (protocolServer) => void made.push(protocolServer) },
    });
    const id = { "mcp-session-id": await server.initialize() };
    const [{ result }] = await messagesOf(await server.post({ ...LIST, method: "resources/list" }, id));
    const { uri } = result.resources[0];
    await messagesOf(await server.post({ ...LIST, method: "resources/subscribe", params: { uri } }, id));
    await made.at(-1)?.close();
    await messagesOf(await server.post(stats(), id));
    const stream = await fetch(server.url, { headers: { ...id, accept: "text/event-stream" } });
    const update = { name: "dav_update_server", arguments: { serverId: "s1", enabled: false } };
    await messagesOf(await server.post({ ...stats(2), params: update }, id));
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
    let heard = "";
    while (!heard.includes("notifications/resources/updated")) heard += (await reader?.read())?.value ?? "";
    expect(heard).toContain(uri);
    await reader?.cancel();
  });

  test("gives a client whose stream broke off what it has missed", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer(poolOf(dav));
    const id = { "mcp-session-id": await server.initialize() };
    const held = await dav.inject({ kind: "delay", ms: Infinity, methods: ["GET"] });
    const get = { ...stats(5), params: { name: "dav_request", arguments: { method: "GET", path: "/" } } };
    const gone = new AbortController();
    const begun = fetch(server.url, {
      method: "POST",
      headers: {
        ...id,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        "mcp-protocol-version": "2025-11-25",
      },
      body: JSON.stringify(get),
      signal: gone.signal,
    });
    await dav.received(1, { method: "GET" });
    // Only what lasts for longer than a moment has a stream that can be taken up again.
    server.clock.advance(200);
    const first = await begun;
    const reader = first.body?.pipeThrough(new TextDecoderStream()).getReader();
    const [, last = ""] = /id: (\S+)/.exec((await reader?.read())?.value ?? "") ?? [];
    gone.abort();
    await reader?.read().catch(() => undefined);
    await held.off();
    const resume = (from: string) =>
      fetch(server.url, { headers: { ...id, accept: "text/event-stream", "last-event-id": from } });
    // Its answer may still be on the way.
    const [answer] = await messagesOf(await resume(last));
    expect(answer).toMatchObject({ id: 5, result: { structuredContent: { serverId: "s1" } } });
    expect((await resume("99_nothing")).status).toBe(400);
    server.clock.advance(2 * MINUTE);
    expect((await resume(last)).status).toBe(400);
  });
});

describe("places", () => {
  test("of one principal are so many; a further session takes that of the one idle longest", async () => {
    const { token, hash } = createToken();
    const alice = { authorization: `Bearer ${token}` };
    await using dav = await createWebDavServer();
    await using server = await startHttpServer({
      ...poolOf(dav),
      identity: { tokens: [{ principal: "alice", hash }] },
      sessions: { perPrincipal: 2 },
    });
    const [one, two] = [await server.initialize(alice), await server.initialize(alice)];
    server.clock.advance(1_000);
    expect(await statusIn(server, one, alice)).toBe(200);
    const three = await server.initialize(alice);
    const standing = [one, two, three].map((id) => statusIn(server, id, alice));
    expect(await Promise.all(standing)).toEqual([200, 404, 200]);
    expect(server.sessions.counts).toMatchObject({ created: 3, evicted: 1 });
  });

  test("of one principal are taken over also where each has an open stream, the one used last of all staying", async () => {
    const { token, hash } = createToken();
    const alice = { authorization: `Bearer ${token}` };
    await using dav = await createWebDavServer();
    await using server = await startHttpServer({
      ...poolOf(dav),
      identity: { tokens: [{ principal: "alice", hash }] },
      sessions: { perPrincipal: 2 },
    });
    const ids: string[] = [];
    for (let count = 0; count < 2; count++) {
      const id = await server.initialize(alice);
      ids.push(id);
      const headers = { ...alice, accept: "text/event-stream", "mcp-session-id": id };
      expect((await fetch(server.url, { headers })).status).toBe(200);
      server.clock.advance(1_000);
    }
    ids.push(await server.initialize(alice));
    expect(await Promise.all(ids.map((id) => statusIn(server, id, alice)))).toEqual([404, 200, 200]);
    expect(server.sessions.counts).toMatchObject({ created: 3, evicted: 1, degraded: 0 });
  });

  test("in all are so many; whoever comes then is served without a session, until one is free", async () => {
    await using dav = await createWebDavServer();
    await using server = await startHttpServer({ ...poolOf(dav), sessions: { total: 2 } });
    const [one] = [await server.initialize(), await server.initialize()];
    const degraded = await server.post(INITIALIZE);
    expect([degraded.status, degraded.headers.get("mcp-session-id")]).toEqual([200, null]);
    await degraded.text();
    expect((await messagesOf(await server.post(stats())))[0]).toMatchObject({ result: { structuredContent: {} } });
    expect(server.lines.filter(({ message }) => message.includes("no place for another session"))).toHaveLength(1);
    server.clock.advance(1.5 * MINUTE);
    expect(await server.initialize()).not.toBe("");
    expect(await statusIn(server, one)).toBe(404);
    expect(server.sessions.counts).toMatchObject({ created: 3, degraded: 1, evicted: 1 });
  });
});

test("a call that takes too long is ended, and its session goes on", async () => {
  await using dav = await createWebDavServer();
  await using server = await startHttpServer({ ...poolOf(dav), sessions: { operationTimeout: "300ms" } });
  const id = { "mcp-session-id": await server.initialize() };
  const held = await dav.inject({ kind: "delay", ms: Infinity, methods: ["GET"] });
  const get = { ...stats(), params: { name: "dav_request", arguments: { method: "GET", path: "/" } } };
  const [answer] = await messagesOf(await server.post(get, id));
  expect(JSON.stringify(answer.result.content)).toMatch(/DEADLINE_EXCEEDED|NO_SERVER_AVAILABLE/);
  await held.off();
  expect((await messagesOf(await server.post(stats(2), id)))[0]).toMatchObject({ id: 2, result: {} });
});

test("a refused initialize is no session, and no client that is served without one", async () => {
  await using dav = await createWebDavServer();
  await using server = await startHttpServer(poolOf(dav));
  const created: number[] = [];
  for (let round = 0; round < 3; round++) {
    const refused = await server.post({ ...INITIALIZE, params: { protocolVersion: 5 } });
    await refused.text();
    created.push(server.sessions.counts.created);
    await server.initialize();
    created.push(server.sessions.counts.created);
  }
  expect(created).toEqual([0, 1, 1, 2, 2, 3]);
  expect(server.sessions.counts).toMatchObject({ created: 3, degraded: 0 });
  expect(server.sessions.size).toBe(3);
});

describe("the circuit breaker", () => {
  const settings = { failures: 5, pause: 10_000 };
  const timeout = new DeadlineExceededError("GET", 1_000, []);

  test("refuses a principal whose calls of a pool run out of time in a row, and tries again after a while", () => {
    const clock = createManualClock();
    const breaker = new CircuitBreaker(settings, clock);
    const call = (error?: unknown) => {
      breaker.enter("alice", "files");
      breaker.ended("alice", "files", error);
    };
    for (let count = 0; count < 4; count++) call(timeout);
    call(new UnknownServerError("x", []));
    for (let count = 0; count < 5; count++) call(timeout);
    expect(() => call()).toThrow(/refused for 10 s/);
    expect(() => breaker.enter("bob", "files")).not.toThrow();
    expect(() => breaker.enter("alice", "archive")).not.toThrow();
    clock.advance(10_000);
    breaker.enter("alice", "files");
    // While one is tried, others wait.
    expect(() => breaker.enter("alice", "files")).toThrow(/refused/);
    breaker.ended("alice", "files", undefined);
    expect(() => call()).not.toThrow();
  });

  test("counts calls whose outcome is not known because time ran out, and others not", () => {
    const attempt = (kind: "timeout" | "broken") =>
      ({
        serverId: "s1",
        outcome: "unknown",
        latency: 1,
        failure: { kind, blame: "server", message: "no answer" },
      }) as never;
    const breaker = new CircuitBreaker({ failures: 1, pause: 10_000 }, createManualClock());
    breaker.ended("alice", "files", new OutcomeUnknownError("PUT", [attempt("broken")]));
    expect(() => breaker.enter("alice", "files")).not.toThrow();
    breaker.ended("alice", "files", new OutcomeUnknownError("PUT", [attempt("timeout")]));
    expect(() => breaker.enter("alice", "files")).toThrow(/refused/);
  });

  test("leaves alone whoever is nobody in particular", () => {
    const breaker = new CircuitBreaker(settings, createManualClock());
    for (let count = 0; count < 20; count++) breaker.ended(undefined, "files", timeout);
    expect(() => breaker.enter(undefined, "files")).not.toThrow();
  });

  test("keeps nobody from tools that ask no server, nor from other pools", async () => {
    const alice = createToken();
    await using hung = await createWebDavServer();
    await using well = await createWebDavServer();
    const pool = (url: string) => ({
      transport: "webdav",
      health: { enabled: false },
      servers: [{ serverId: "s1", url }],
    });
    await using server = await startHttpServer({
      pools: { hung: { ...pool(hung.url), deadline: "50ms" }, well: pool(well.url) },
      sessions: { circuit: { failures: 2, pause: "1h" } },
      identity: { tokens: [{ principal: "alice", hash: alice.hash }] },
    });
    const fault = await hung.inject({ kind: "blackhole" });
    const as = { authorization: `Bearer ${alice.token}` };
    const ask = async (name: string, parameters: object) => {
      const message = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: parameters } };
      const [answer] = await messagesOf(await server.post(message, as));
      return JSON.parse(answer.result.content[0].text);
    };
    const put = { method: "PUT", path: "/a", body: "x" };
    for (let count = 0; count < 2; count++) expect((await ask("hung__dav_request", put)).error).toBeDefined();
    expect((await ask("hung__dav_request", put)).error).toMatchObject({ code: "CALLS_SUSPENDED", pool: "hung" });
    expect((await ask("hung__dav_list_servers", {})).servers).toHaveLength(1);
    expect(await ask("well__dav_request", put)).toMatchObject({ status: 201 });
    await fault.off();
  });
});
