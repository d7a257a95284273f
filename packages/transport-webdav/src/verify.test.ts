import { systemClock } from "@davpool/core";
import { createWebDavServer, type WebDavServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { connect, SETTINGS } from "./testing/connect.test-support.ts";
import { ObservedAttempt } from "./testing/attempt.test-support.ts";
import { webDavTransport } from "./transport.ts";
import type { WebDavRequest, WebDavResponse } from "./wire.ts";

const transport = webDavTransport(SETTINGS, { allowHosts: [], allowCleartext: false }, systemClock);

/** Sends a request to a server on which the work may have been done before, and has the transport look. */
async function verified(server: WebDavServer, request: WebDavRequest): Promise<[number, number | undefined]> {
  await using connection = connect(server.url);
  const attempt = new ObservedAttempt();
  const response = await connection.send(request, attempt);
  const done = await transport.verify?.(request, response, (question) => connection.send(question, attempt));
  response.body.discard();
  // What stands for the answer can be read, and is empty.
  expect(done ? await done.body.text() : "").toBe("");
  const { status }: WebDavResponse = response;
  return [status, done?.status];
}

describe("after an attempt whose outcome is unknown", () => {
  test("a DELETE that finds nothing has been done", async () => {
    await using server = await createWebDavServer();
    expect(await verified(server, { method: "DELETE", path: "/gone" })).toEqual([404, 204]);
  });

  test("a DELETE that was answered 404 although the file is there has not", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/there", "text");
    await server.inject({ kind: "status", status: 404, methods: ["DELETE"] });
    expect(await verified(server, { method: "DELETE", path: "/there" })).toEqual([404, undefined]);
  });

  test.each([500, 401, 403, 301])("nothing is taken for done when the question is answered %i", async (status) => {
    await using server = await createWebDavServer();
    await server.inject({ kind: "status", status, methods: ["PROPFIND"] });
    expect(await verified(server, { method: "DELETE", path: "/gone" })).toEqual([404, undefined]);
    const move = { method: "MOVE", path: "/gone", headers: { Destination: "/b" } };
    expect(await verified(server, move)).toEqual([404, undefined]);
  });

  test("a MKCOL that finds the collection has been done", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/folder/x", "");
    expect(await verified(server, { method: "MKCOL", path: "/folder/" })).toEqual([405, 204]);
  });

  test("a MKCOL that finds a file has not", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/folder", "a file");
    expect(await verified(server, { method: "MKCOL", path: "/folder" })).toEqual([405, undefined]);
  });

  test("a MOVE whose source is gone and whose destination is there has been done", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/b", "text");
    expect(await verified(server, { method: "MOVE", path: "/a", headers: { Destination: "/b" } })).toEqual([404, 204]);
    await server.inject({ kind: "status", status: 412, methods: ["MOVE"] });
    const careful = { method: "MOVE", path: "/a", headers: { destination: "b", Overwrite: "F" } };
    expect(await verified(server, careful)).toEqual([412, 204]);
  });

  test("a MOVE has not been done while its source is there or its destination is not", async () => {
    await using server = await createWebDavServer();
    expect(await verified(server, { method: "MOVE", path: "/a", headers: { Destination: "/b" } })).toEqual([
      404,
      undefined,
    ]);
    server.tree.write("/a", "new");
    server.tree.write("/b", "old");
    const careful = { method: "MOVE", path: "/a", headers: { Destination: "/b", Overwrite: "F" } };
    expect(await verified(server, careful)).toEqual([412, undefined]);
  });

  test("a MOVE to a whole URL is left as it was answered", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/b", "text");
    const move = { method: "MOVE", path: "/a", headers: { Destination: `${server.url}b` } };
    expect(await verified(server, move)).toEqual([404, undefined]);
  });

  test("a PUT that must not overwrite has been done when the file has its content", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "text");
    const put = (body: WebDavRequest["body"]) =>
      verified(server, {
        method: "PUT",
        path: "/a",
        headers: { "If-None-Match": "*" },
        ...(body !== undefined && { body }),
      });
    expect(await put("text")).toEqual([412, 204]);
    expect(await put(Buffer.from("text"))).toEqual([412, 204]);
    expect(await put("tex")).toEqual([412, undefined]);
    expect(await put("text!")).toEqual([412, undefined]);
    expect(await put(undefined)).toEqual([412, undefined]);
    expect(
      await put(async function* () {
        yield Buffer.from("text");
      }),
    ).toEqual([412, undefined]);
  });

  test("a COPY has been done when its destination holds what the source does", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "text");
    server.tree.write("/b", "text");
    const copy = { method: "COPY", path: "/a", headers: { Destination: "/b" } };
    expect(await verified(server, copy)).toEqual([412, 204]);
    server.tree.write("/b", "old!");
    expect(await verified(server, copy)).toEqual([412, undefined]);
    server.tree.write("/c/d", "text");
    server.tree.write("/e/d", "text");
    const folder = { method: "COPY", path: "/c/", headers: { Destination: "/e/" } };
    expect(await verified(server, folder)).toEqual([412, 204]);
    server.tree.write("/e/f", "more");
    expect(await verified(server, folder)).toEqual([412, undefined]);
    expect(await verified(server, { ...folder, headers: { ...folder.headers, Depth: "0" } })).toEqual([412, 204]);
    expect(await verified(server, { ...copy, headers: { Destination: "/e" } })).toEqual([412, undefined]);
  });

  test("an UNLOCK has been done when its token locks the path no more", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "text");
    const unlock = { method: "UNLOCK", path: "/a", headers: { "Lock-Token": "<opaquelocktoken:gone>" } };
    expect(await verified(server, unlock)).toEqual([409, 204]);
    const lock = server.locks.grant({ path: "/a", scope: "exclusive", depth: "0", owner: "", timeout: 60 });
    await server.inject({ kind: "status", status: 409, methods: ["UNLOCK"] });
    expect(await verified(server, { ...unlock, headers: { "Lock-Token": lock.token } })).toEqual([409, undefined]);
  });

  test("other answers are left as they are", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/a", "text");
    for (const request of [
      { method: "DELETE", path: "/a" },
      { method: "GET", path: "/gone" },
      { method: "COPY", path: "/gone", headers: { Destination: "/b" } },
      { method: "MKCOL", path: "/no/such/parent" },
    ])
      expect((await verified(server, request))[1]).toBeUndefined();
  });
});
