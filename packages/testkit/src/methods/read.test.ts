import { expect, test } from "vitest";
import { createWebDavServer } from "../server.ts";

test("GET gives content, type, ETag and date; HEAD the same without content", async () => {
  await using server = await createWebDavServer();
  const { etag, lastModified } = server.tree.write("/ü b.txt", "content");
  for (const [method, text] of [
    ["GET", "content"],
    ["HEAD", ""],
  ] as const) {
    const response = await fetch(`${server.url}%C3%BC%20b.txt`, { method });
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-length": "7",
      "content-type": "text/plain; charset=utf-8",
      etag,
      "last-modified": lastModified.toUTCString(),
      "accept-ranges": "bytes",
    });
    expect(await response.text()).toBe(text);
  }
});

test("GET of a collection lists its members", async () => {
  await using server = await createWebDavServer();
  server.tree.write("/b/c", "");
  server.tree.write("/a", "");
  expect(await (await fetch(server.url)).text()).toBe("a\nb/\n");
  expect((await fetch(`${server.url}nothing`)).status).toBe(404);
});

test.each([
  ["bytes=2-4", 206, "234", "bytes 2-4/10"],
  ["bytes=-2", 206, "89", "bytes 8-9/10"],
  ["bytes=7-", 206, "789", "bytes 7-9/10"],
  ["bytes=10-", 416, "", "bytes */10"],
  ["bytes=0-1,3-4", 200, "0123456789", null],
])("Range %s gives %d", async (range, status, text, contentRange) => {
  await using server = await createWebDavServer();
  server.tree.write("/f", "0123456789");
  const response = await fetch(`${server.url}f`, { headers: { range } });
  expect([response.status, await response.text(), response.headers.get("content-range")]).toEqual([
    status,
    text,
    contentRange,
  ]);
  expect((await fetch(`${server.url}f`, { method: "HEAD", headers: { range } })).status).toBe(200);
});

test("If-Range wants the current strong ETag or date, else the whole is sent", async () => {
  await using server = await createWebDavServer();
  const { etag, lastModified } = server.tree.write("/f", "0123456789");
  const statuses = [etag, lastModified.toUTCString(), `W/${etag}`, '"other"', "Thu, 01 Jan 1970 00:00:00 GMT"].map(
    async (value) => (await fetch(`${server.url}f`, { headers: { range: "bytes=0-0", "if-range": value } })).status,
  );
  expect(await Promise.all(statuses)).toEqual([206, 206, 200, 200, 200]);
});
