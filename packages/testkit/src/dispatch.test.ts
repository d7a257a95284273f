import { describe, expect, test } from "vitest";
import { createWebDavServer } from "./server.ts";

test("OPTIONS tells classes and what is allowed there", async () => {
  await using server = await createWebDavServer();
  server.tree.write("/f", "");
  const allowed = async (path: string) => {
    const response = await fetch(`${server.url}${path}`, { method: "OPTIONS" });
    expect([response.status, response.headers.get("dav"), response.headers.get("ms-author-via")]).toEqual([
      200,
      "1, 2",
      "DAV",
    ]);
    return response.headers.get("allow")?.split(", ");
  };
  expect(await allowed("f")).toEqual(expect.arrayContaining(["PUT", "GET", "UNLOCK"]));
  expect(await allowed("")).not.toContain("PUT");
  expect(await allowed("nothing")).toEqual(["OPTIONS", "PUT", "MKCOL", "LOCK"]);
});

test("known but useless methods get 405, unknown ones 501", async () => {
  await using server = await createWebDavServer();
  const post = await fetch(server.url, { method: "POST", body: "text" });
  expect([post.status, post.headers.get("allow")]).toEqual([405, expect.stringContaining("PROPFIND")]);
  expect((await fetch(server.url, { method: "REPORT" })).status).toBe(501);
});

describe("preconditions", () => {
  test.each([
    ["PUT", { "if-match": "current" }, 204],
    ["PUT", { "if-match": '"other", current' }, 204],
    ["PUT", { "if-match": '"other"' }, 412],
    ["PUT", { "if-match": "W/current" }, 412],
    ["PUT", { "if-match": "*" }, 204],
    ["PUT", { "if-none-match": "*" }, 412],
    ["PUT", { "if-none-match": '"other"' }, 204],
    ["PUT", { "if-unmodified-since": "Thu, 01 Jan 1970 00:00:00 GMT" }, 412],
    ["PUT", { "if-unmodified-since": "no date" }, 204],
    ["GET", { "if-none-match": "W/current" }, 304],
    ["GET", { "if-none-match": '"other"', "if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT" }, 200],
    ["GET", { "if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT" }, 304],
    ["GET", { "if-modified-since": "Thu, 01 Jan 1970 00:00:00 GMT" }, 200],
    ["DELETE", { "if-match": '"other"' }, 412],
    ["DELETE", { if: '(["other"])' }, 412],
    ["DELETE", { if: "([current])" }, 204],
    ["DELETE", { if: "nonsense" }, 400],
    ["DELETE", { if: "<http://elsewhere.test/dav/f> (Not <DAV:no-lock>)" }, 204],
    ["DELETE", { if: "<http://elsewhere.test/dav/f> ([current])" }, 412],
  ] as const)("%s with %j gets %d", async (method, headers, status) => {
    await using server = await createWebDavServer();
    const { etag } = server.tree.write("/f", "old");
    const sent = Object.entries(headers).map(([name, value]): [string, string] => [
      name,
      value.replace("current", etag),
    ]);
    const response = await fetch(`${server.url}f`, {
      method,
      headers: Object.fromEntries(sent),
      ...(method === "PUT" ? { body: "new" } : {}),
    });
    expect(response.status).toBe(status);
    const changed = !server.tree.exists("/f") || server.tree.readText("/f") !== "old";
    expect(changed).toBe(status === 204);
  });

  test("a 304 names the ETag that the client has", async () => {
    await using server = await createWebDavServer();
    const { etag } = server.tree.write("/f", "text");
    const response = await fetch(`${server.url}f`, { headers: { "if-none-match": etag } });
    expect([response.status, response.headers.get("etag")]).toEqual([304, etag]);
  });

  test("a missing resource is missing, but may not be created against If-Match", async () => {
    await using server = await createWebDavServer();
    const headers = { "if-match": '"1"' };
    expect((await fetch(`${server.url}f`, { method: "DELETE", headers })).status).toBe(404);
    expect((await fetch(`${server.url}f`, { method: "PUT", headers, body: "" })).status).toBe(412);
    expect((await fetch(`${server.url}f`, { method: "PUT", headers: { "if-none-match": "*" }, body: "" })).status).toBe(
      201,
    );
  });
});
