import { createMcpServer, createWebDavServer, type WebDavServer } from "@davpool/testkit";
import { expect, test } from "vitest";
import { messagesOf, startHttpServer, type TestHttpServer } from "../testing/http-server.test-support.ts";

const LONGER_THAN_A_MOMENT = 200;

const poolOf = (dav: WebDavServer) => ({
  pools: { files: { transport: "webdav", servers: [{ serverId: "s1", url: dav.url }] } },
});

const call = (id: number | string, parameters: object, more: object = {}) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name: "dav_request", arguments: parameters, ...more },
});

const get = (id: number | string) => call(id, { method: "GET", path: "/a.txt" });

async function inSession(server: TestHttpServer): Promise<{ readonly "mcp-session-id": string }> {
  return { "mcp-session-id": await server.initialize() };
}

test("a call has the same answer when it ends in a moment and when it lasts", async () => {
  await using dav = await createWebDavServer();
  dav.tree.write("/a.txt", "text");
  await using server = await startHttpServer(poolOf(dav));
  const session = await inSession(server);
  const soon = await server.post(get(1), session);
  const held = await dav.inject({ kind: "delay", ms: Infinity, methods: ["GET"] });
  const lasting = server.post(get("two"), session);
  await dav.received(2, { method: "GET" });
  server.clock.advance(LONGER_THAN_A_MOMENT);
  const late = await lasting;
  await held.off();
  for (const name of ["content-type", "mcp-session-id", "cache-control"])
    expect(soon.headers.get(name)).toBe(late.headers.get(name));
  const [one] = await messagesOf(soon);
  const [two] = await messagesOf(late);
  expect([one.id, two.id]).toEqual([1, "two"]);
  expect(one.result.structuredContent).toMatchObject({ status: 200, body: "text" });
  const { responseTime: _soon, ...content } = one.result.structuredContent;
  const { responseTime: _late, ...same } = two.result.structuredContent;
  expect(content.headers.date).toBeDefined();
  expect({ ...content, headers: undefined }).toEqual({ ...same, headers: undefined });
});

test("a call that lasts is made once", async () => {
  await using dav = await createWebDavServer();
  await using server = await startHttpServer(poolOf(dav));
  const session = await inSession(server);
  const held = await dav.inject({ kind: "delay", ms: Infinity, methods: ["PUT"] });
  const put = server.post(call(1, { method: "PUT", path: "/new.txt", body: "new" }), session);
  await dav.received(1, { method: "PUT" });
  server.clock.advance(LONGER_THAN_A_MOMENT);
  const answer = await put;
  await held.off();
  expect((await messagesOf(answer))[0]).toMatchObject({ id: 1, result: { structuredContent: { status: 201 } } });
  expect(dav.requests.filter(({ method }) => method === "PUT")).toHaveLength(1);
});

const CANCEL = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 7 } };
const ENDED = { id: 7, error: { code: -32_800 } };

test.each([
  ["that its client cancels in its first moment", 0, "cancel", [ENDED]],
  ["that its client cancels later", LONGER_THAN_A_MOMENT, "cancel", [ENDED]],
  ["whose session is ended in its first moment", 0, "end", [ENDED]],
  // The protocol's machinery ends its stream without a word.
  ["whose session is ended later", LONGER_THAN_A_MOMENT, "end", []],
])("a call %s ends, for the server as well", async (_what, passed, how, told) => {
  await using dav = await createWebDavServer();
  await using server = await startHttpServer(poolOf(dav));
  const session = await inSession(server);
  await using _ = await dav.inject({ kind: "delay", ms: Infinity, methods: ["GET"] });
  const calling = server.post(get(7), session);
  await dav.received(1, { method: "GET" });
  server.clock.advance(passed);
  if (how === "cancel") expect((await server.post(CANCEL, session)).status).toBe(202);
  else expect((await fetch(server.url, { method: "DELETE", headers: session })).status).toBe(200);
  expect(await messagesOf(await calling)).toMatchObject(told);
  await dav.idle();
  expect(dav.requests.at(-1)).toMatchObject({ method: "GET", status: undefined });
});

test.each([
  ["in its first moment", 0],
  ["later", LONGER_THAN_A_MOMENT],
])("an id that a call has is given to no other %s", async (_when, passed) => {
  await using dav = await createWebDavServer();
  dav.tree.write("/a.txt", "text");
  await using server = await startHttpServer(poolOf(dav));
  const session = await inSession(server);
  const held = await dav.inject({ kind: "delay", ms: Infinity, methods: ["GET"] });
  const first = server.post(get(3), session);
  await dav.received(1, { method: "GET" });
  server.clock.advance(passed);
  expect(await messagesOf(await server.post(get(3), session))).toMatchObject([{ id: 3, error: { code: -32_600 } }]);
  await held.off();
  expect(await messagesOf(await first)).toMatchObject([{ id: 3, result: { structuredContent: { status: 200 } } }]);
  expect(await messagesOf(await server.post(get(3), session))).toMatchObject([{ id: 3, result: {} }]);
});

test("an id that a call through the gateway has is given to no other, in a batch neither", async () => {
  await using mcp = await createMcpServer({ transport: "stdio", name: "up", tools: [{ name: "add" }] });
  await using server = await startHttpServer({
    pools: { up: { transport: "mcp", servers: [{ serverId: "u", command: mcp.command }] } },
  });
  const session = await inSession(server);
  const add = (id: number) => ({
    jsonrpc: "2.0",
    id,
    method: "tools/call",
    params: { name: "add", arguments: { id } },
  });
  const refused = { id: null, error: { code: -32_600 } };
  using _ = mcp.inject({ kind: "hang", on: "call" });
  const first = server.post(add(3), session);
  await mcp.log.received("add");
  const second = await server.post(add(3), session);
  expect([second.status, await second.json()]).toMatchObject([400, refused]);
  const batch = await server.post([add(4), add(4)], session);
  expect([batch.status, await batch.json()]).toMatchObject([400, refused]);
  mcp.clearFaults();
  expect(await messagesOf(await first)).toMatchObject([{ id: 3, result: { content: [{ text: 'up add {"id":3}' }] } }]);
  expect(await messagesOf(await server.post(add(3), session))).toMatchObject([{ id: 3, result: {} }]);
  expect(mcp.calls).toHaveLength(2);
});

test("what is wrong with a call is told as the protocol has it", async () => {
  await using dav = await createWebDavServer();
  await using server = await startHttpServer(poolOf(dav));
  const session = await inSession(server);
  const { jsonrpc: _, ...unmarked } = get(1);
  const wrong = [
    unmarked,
    { ...get(1), id: 1.5 },
    { ...get(1), more: true },
    call(1, [] as object),
    call(1, {}, { _meta: 7 }),
    call(1, {}, { _meta: { progressToken: null } }),
    call(1, {}, { _meta: { "io.modelcontextprotocol/related-task": 7 } }),
  ];
  for (const message of wrong) {
    const answer = await server.post(message, session);
    expect((await messagesOf(answer))[0], JSON.stringify(message)).toHaveProperty("error.code");
  }
  expect((await server.post(get(1), { ...session, accept: "application/json" })).status).toBe(406);
  expect((await server.post(get(1), { ...session, "mcp-protocol-version": "1999-01-01" })).status).toBe(400);
  expect(dav.requests.filter(({ method }) => method === "GET")).toHaveLength(0);
});
