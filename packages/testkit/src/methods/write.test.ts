import { expect, test } from "vitest";
import { createWebDavServer } from "../server.ts";
import type { WebDavServer } from "../server.ts";

async function statusOf(server: WebDavServer, method: string, path: string, init: RequestInit = {}): Promise<number> {
  return (await fetch(`${server.url}${path}`, { ...init, method })).status;
}

function to(destination: string, more: Record<string, string> = {}): RequestInit {
  return { headers: { destination, ...more } };
}

test("PUT creates, replaces and tells the new ETag", async () => {
  await using server = await createWebDavServer();
  const body = new Uint8Array(3_000_000).fill(7);
  const created = await fetch(`${server.url}f`, { method: "PUT", body, headers: { "content-type": "image/x" } });
  expect(created.status).toBe(201);
  expect(server.tree.get("/f")).toMatchObject({ contentType: "image/x", etag: created.headers.get("etag") });
  expect(Buffer.compare(server.tree.read("/f"), body)).toBe(0);
  expect(await statusOf(server, "PUT", "f", { body: "" })).toBe(204);
  expect(server.tree.readText("/f")).toBe("");
});

test("PUT is refused where there can be no file, and for a part of one", async () => {
  await using server = await createWebDavServer();
  server.tree.write("/a/f", "old");
  expect(await statusOf(server, "PUT", "nothing/f", { body: "" })).toBe(409);
  expect(await statusOf(server, "PUT", "a/f/g", { body: "" })).toBe(409);
  expect(await statusOf(server, "PUT", "a", { body: "" })).toBe(405);
  expect(await statusOf(server, "PUT", "g/", { body: "" })).toBe(409);
  expect(await statusOf(server, "PUT", "a/f", { body: "x", headers: { "content-range": "bytes 0-0/3" } })).toBe(400);
  expect(server.tree.readText("/a/f")).toBe("old");
});

test("MKCOL creates one collection at a time, and only new ones", async () => {
  await using server = await createWebDavServer();
  server.tree.write("/f", "");
  expect(await statusOf(server, "MKCOL", "a/b/")).toBe(409);
  expect(await statusOf(server, "MKCOL", "a/")).toBe(201);
  expect(await statusOf(server, "MKCOL", "a/b")).toBe(201);
  expect(await statusOf(server, "MKCOL", "a/b/")).toBe(405);
  expect(await statusOf(server, "MKCOL", "f")).toBe(405);
  expect(await statusOf(server, "MKCOL", "c/", { body: "<x/>" })).toBe(415);
  expect(server.tree.paths()).toEqual(["/", "/f", "/a", "/a/b"]);
});

test("DELETE removes with all members, but not the root", async () => {
  await using server = await createWebDavServer();
  server.tree.write("/a/f", "");
  expect(await statusOf(server, "DELETE", "a/", { headers: { depth: "0" } })).toBe(400);
  expect(await statusOf(server, "DELETE", "a/")).toBe(204);
  expect(await statusOf(server, "DELETE", "a/")).toBe(404);
  expect(await statusOf(server, "DELETE", "")).toBe(403);
});

test.each(["COPY", "MOVE"])("%s takes properties along and tells whether it replaced something", async (method) => {
  await using server = await createWebDavServer();
  server.tree.write("/a/f", "text");
  server.tree.write("/b/old", "");
  server.tree.changeProperties("/a", [{ namespace: "urn:x", name: "p", xml: '<p xmlns="urn:x"/>' }]);
  expect(await statusOf(server, method, "a", to(`${server.url}b`, { overwrite: "F" }))).toBe(412);
  expect(await statusOf(server, method, "a", to(`${server.url}b`))).toBe(204);
  expect(server.tree.paths("/b")).toEqual(["/b", "/b/f"]);
  expect(server.tree.require("/b").properties.size).toBe(1);
  expect(server.tree.exists("/a")).toBe(method === "COPY");
  expect(await statusOf(server, method, "b", to(`/dav/with%20space/`))).toBe(201);
  expect(server.tree.readText("/with space/f")).toBe("text");
});

test.each(["COPY", "MOVE"])("%s refuses what cannot be", async (method) => {
  await using server = await createWebDavServer();
  server.tree.write("/a/f", "text");
  expect(await statusOf(server, method, "nothing", to("/dav/b"))).toBe(404);
  expect(await statusOf(server, method, "a")).toBe(400);
  expect(await statusOf(server, method, "a", to("http://elsewhere.test/dav/b"))).toBe(502);
  expect(await statusOf(server, method, "a", to("/outside/b"))).toBe(502);
  expect(await statusOf(server, method, "a", to("b"))).toBe(502);
  expect(await statusOf(server, method, "a", to("/dav/nothing/b"))).toBe(409);
  expect(await statusOf(server, method, "a", to("/dav/a"))).toBe(403);
  expect(await statusOf(server, method, "a", to("/dav/a/b"))).toBe(403);
  expect(await statusOf(server, method, "a", to("/dav/b", { depth: "1" }))).toBe(400);
  expect(server.tree.paths()).toEqual(["/", "/a", "/a/f"]);
});

test.each(["COPY", "MOVE"])("%s onto an ancestor deletes it with the source, as Apache does", async (method) => {
  await using server = await createWebDavServer();
  server.tree.write("/a/b/f", "text");
  server.tree.write("/g", "text");
  expect(await statusOf(server, method, "a/b/f", to("/dav/a", { overwrite: "F" }))).toBe(412);
  expect(await statusOf(server, method, "a/b/f", to("/dav/a/"))).toBe(500);
  expect(server.tree.paths()).toEqual(["/", "/g"]);
  expect(await statusOf(server, method, "g", to("/dav/"))).toBe(500);
  expect(server.tree.paths()).toEqual(["/"]);
});

test("COPY with depth 0 copies the collection alone", async () => {
  await using server = await createWebDavServer();
  server.tree.write("/a/f", "text");
  expect(await statusOf(server, "COPY", "a", { headers: { destination: "/dav/b", depth: "0" } })).toBe(201);
  expect(server.tree.list("/b")).toEqual([]);
});
