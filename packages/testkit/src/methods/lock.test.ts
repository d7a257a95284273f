import { describe, expect, test } from "vitest";
import { ManualClock } from "../manual-clock.ts";
import { createWebDavServer } from "../server.ts";
import type { WebDavServer } from "../server.ts";

type Headers = Record<string, string>;

async function send(server: WebDavServer, method: string, path: string, headers: Headers = {}, body?: string) {
  const response = await fetch(`${server.url}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
  return { status: response.status, text: await response.text(), token: response.headers.get("lock-token") ?? "" };
}

function lock(server: WebDavServer, path: string, headers: Headers = {}, scope = "exclusive") {
  const body = `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:${scope}/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>me</D:href></D:owner></D:lockinfo>`;
  return send(server, "LOCK", path, headers, body);
}

async function serverWithTree(clock?: ManualClock): Promise<WebDavServer> {
  const server = await createWebDavServer(clock === undefined ? {} : { clock });
  server.tree.write("/a/f", "text");
  server.tree.write("/g", "text");
  return server;
}

test("LOCK grants a token, and describes the lock there and in PROPFIND", async () => {
  await using server = await serverWithTree();
  const { status, text, token } = await lock(server, "g", { timeout: "Infinite, Second-60" });
  expect(status).toBe(200);
  expect(token).toMatch(/^<urn:uuid:[0-9a-f-]+>$/);
  const listing = await send(server, "PROPFIND", "g", { depth: "0" });
  for (const description of [text, listing.text]) {
    expect(description).toContain(`<D:locktoken><D:href>${token.slice(1, -1)}</D:href></D:locktoken>`);
    expect(description).toContain("<D:timeout>Second-60</D:timeout>");
    expect(description).toMatch(/<owner xmlns="DAV:"><href xmlns="DAV:">me<\/href><\/owner>/);
  }
});

test("LOCK where nothing is makes an empty file, if its parent exists", async () => {
  await using server = await serverWithTree();
  expect((await lock(server, "new")).status).toBe(201);
  expect(server.tree.readText("/new")).toBe("");
  expect((await lock(server, "nothing/new")).status).toBe(409);
  expect((await lock(server, "new-folder/")).status).toBe(409);
});

test.each([
  ["PUT", {}, "new"],
  ["DELETE", {}, undefined],
  ["MOVE", { destination: "/dav/h" }, undefined],
  ["PROPPATCH", {}, '<propertyupdate xmlns="DAV:"><set><prop><x xmlns="urn:x"/></prop></set></propertyupdate>'],
] as const)("%s of a locked file needs its token", async (method, headers, body) => {
  await using server = await serverWithTree();
  const { token } = await lock(server, "g");
  const refused = await send(server, method, "g", headers, body);
  expect(refused.status).toBe(423);
  expect(refused.text).toContain("<D:lock-token-submitted><D:href>/dav/g</D:href>");
  expect((await send(server, method, "g", { ...headers, if: "(<urn:uuid:other>)" }, body)).status).toBe(412);
  expect((await send(server, method, "g", { ...headers, if: `(${token})` }, body)).status).toBeLessThan(300);
});

test("COPY needs the token of its destination, not of its source", async () => {
  await using server = await serverWithTree();
  const { token } = await lock(server, "g");
  expect((await send(server, "COPY", "g", { destination: "/dav/h" })).status).toBe(201);
  expect((await send(server, "COPY", "a/f", { destination: "/dav/g" })).status).toBe(423);
  const tagged = `<${server.url}g> (${token})`;
  expect((await send(server, "COPY", "a/f", { destination: "/dav/g", if: tagged })).status).toBe(204);
  expect(server.locks.list()).toHaveLength(1);
});

test.each(["DELETE", "MOVE"])(
  "%s of a collection with a locked member is a 207 that changes nothing",
  async (method) => {
    await using server = await serverWithTree();
    const { token } = await lock(server, "a/f");
    const refused = await send(server, method, "a", { destination: "/dav/b" });
    expect(refused.status).toBe(207);
    expect(refused.text).toContain("<D:href>/dav/a/f</D:href><D:status>HTTP/1.1 423 Locked</D:status>");
    expect(server.tree.readText("/a/f")).toBe("text");
    const tagged = `<${server.url}a/f> (${token})`;
    expect((await send(server, method, "a", { destination: "/dav/b", if: tagged })).status).toBeLessThan(300);
    expect(server.locks.list()).toEqual([]);
  },
);

test("a lock on a collection guards its membership, and with infinite depth all below", async () => {
  await using server = await serverWithTree();
  const { token } = await lock(server, "a", { depth: "0" });
  expect((await send(server, "PUT", "a/new", {}, "")).status).toBe(423);
  expect((await send(server, "MKCOL", "a/new")).status).toBe(423);
  expect((await send(server, "DELETE", "a/f")).status).toBe(423);
  expect((await send(server, "PUT", "a/f", {}, "")).status).toBe(204);
  expect((await send(server, "PUT", "a/new", { if: `<${server.url}a> (${token})` }, "")).status).toBe(201);
  await send(server, "UNLOCK", "a", { "lock-token": token });
  await lock(server, "a", { depth: "infinity" });
  expect((await send(server, "PUT", "a/f", {}, "")).status).toBe(423);
});

describe("conflicts", () => {
  test("shared locks bear one another, and one of their tokens is enough", async () => {
    await using server = await serverWithTree();
    const [one, other] = [await lock(server, "g", {}, "shared"), await lock(server, "g", {}, "shared")];
    expect([one.status, other.status]).toEqual([200, 200]);
    expect((await lock(server, "g")).status).toBe(423);
    expect((await send(server, "PUT", "g", { if: `(${other.token})` }, "")).status).toBe(204);
  });

  test("an exclusive lock bears none beside it, above it or below it", async () => {
    await using server = await serverWithTree();
    await lock(server, "a/f");
    const above = await lock(server, "a", {}, "shared");
    expect(above.status).toBe(207);
    expect(above.text).toContain("HTTP/1.1 424 Failed Dependency");
    expect((await lock(server, "a/f", {}, "shared")).text).toContain("no-conflicting-lock");
    expect((await lock(server, "a", { depth: "0" })).status).toBe(200);
    expect((await lock(server, "")).status).toBe(207);
  });
});

describe("a lock's time", () => {
  test("is what was asked for, but no more than the server grants", async () => {
    await using server = await serverWithTree();
    expect((await lock(server, "g", { timeout: "Second-4100000000" })).text).toContain("Second-600");
    expect((await lock(server, "a/f", { timeout: "Second-5" })).text).toContain("Second-5<");
  });

  test("runs out, and starts again with a refresh", async () => {
    const clock = new ManualClock();
    await using server = await serverWithTree(clock);
    const { token } = await lock(server, "g", { timeout: "Second-10" });
    clock.advance(9_000);
    const refreshed = await send(server, "LOCK", "g", { if: `(${token})`, timeout: "Second-20" });
    expect([refreshed.status, refreshed.token]).toEqual([200, ""]);
    expect(refreshed.text).toContain("Second-20");
    clock.advance(19_000);
    expect((await send(server, "PUT", "g", {}, "")).status).toBe(423);
    clock.advance(1_000);
    expect((await send(server, "PUT", "g", {}, "")).status).toBe(204);
    expect((await send(server, "LOCK", "g", { if: `(${token})` })).status).toBe(412);
    expect((await send(server, "LOCK", "g")).status).toBe(400);
  });
});

test("UNLOCK wants the token in brackets, and only once", async () => {
  await using server = await serverWithTree();
  const { token } = await lock(server, "g");
  const unlock = async (path: string, lockToken: string) =>
    (await send(server, "UNLOCK", path, { "lock-token": lockToken })).status;
  expect(await unlock("g", token.slice(1, -1))).toBe(400);
  expect(await unlock("a/f", token)).toBe(409);
  expect(await unlock("nothing", token)).toBe(404);
  expect(await unlock("g", token)).toBe(204);
  expect(await unlock("g", token)).toBe(409);
  expect((await send(server, "PUT", "g", {}, "")).status).toBe(204);
});

test.each([
  ["<lockinfo", {}, 400],
  ['<lockinfo xmlns="DAV:"/>', {}, 400],
  ['<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><read/></locktype></lockinfo>', {}, 422],
  ['<lockinfo xmlns="DAV:"><lockscope><other/></lockscope><locktype><write/></locktype></lockinfo>', {}, 422],
  ['<lockinfo xmlns="DAV:"/>', { depth: "1" }, 400],
] as const)("LOCK with %s and %j gets %d", async (body, headers, status) => {
  await using server = await serverWithTree();
  expect((await send(server, "LOCK", "g", headers, body)).status).toBe(status);
});
