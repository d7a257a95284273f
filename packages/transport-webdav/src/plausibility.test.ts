import { createWebDavCluster, createWebDavServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { implausible } from "./plausibility.ts";
import { ObservedAttempt } from "./testing/attempt.test-support.ts";
import { connect } from "./testing/connect.test-support.ts";
import { openPool } from "./testing/pool.test-support.ts";

const HTML = { "content-type": "text/html; charset=utf-8" };
const LOCKINFO = "<lockinfo/>";
const looks = (method: string, status: number, headers: Record<string, string> = {}, body?: string) =>
  implausible({ method, ...(body !== undefined && { body }) }, { status, headers });

describe("an answer", () => {
  test.each([
    ...["PROPFIND", "PROPPATCH", "MKCOL", "UNLOCK", "SEARCH"].map((method) => [method, 200, {}] as const),
    ["PROPFIND", 200, HTML],
    ["PROPFIND", 207, HTML],
    ["PROPFIND", 207, { "content-length": "0" }],
    ["REPORT", 200, HTML],
    ["PUT", 200, HTML],
    ["DELETE", 200, HTML],
  ] as const)("to %s of %i with %j does not fit the method", (method, status, headers) => {
    expect(looks(method, status, headers)).toContain(`it answered ${method} with ${status}`);
  });

  test.each([
    ["GET", 200, HTML],
    ["POST", 200, HTML],
    ["OPTIONS", 200, {}],
    ["PROPFIND", 207, { "content-type": "application/xml" }],
    ["PROPFIND", 207, {}],
    ["PROPPATCH", 204, {}],
    ["PUT", 200, {}],
    ["PUT", 201, HTML],
    ["MKCOL", 201, HTML],
    ["DELETE", 204, {}],
    ["MOVE", 201, HTML],
    ["PROPFIND", 404, HTML],
    ["PROPFIND", 301, HTML],
  ])("to %s of %i with %j may be right", (method, status, headers) => {
    expect(looks(method, status, headers as Record<string, string>)).toBeUndefined();
  });

  test("to a LOCK names its token; to a refresh it need not", () => {
    expect(looks("LOCK", 200, {}, LOCKINFO)).toBe("it answered LOCK with 200 and without a Lock-Token");
    expect(looks("LOCK", 200, { "lock-token": "<t>" }, LOCKINFO)).toBeUndefined();
    expect(looks("LOCK", 200)).toBeUndefined();
  });
});

test("a server that says 200 to everything loses the request to another one", async () => {
  await using cluster = await createWebDavCluster({ servers: 2 });
  await cluster.servers[0]?.inject({ kind: "status", status: 200, headers: HTML });
  await using open = await openPool(cluster.urls);
  for (const [method, path, status, first] of [
    ["PROPFIND", "/", 207, "answered"],
    ["MKCOL", "/a/", 201, "unknown"],
  ] as const) {
    const { value, serverId, attempts } = await open.pool.execute({ method, path });
    value.body.discard();
    expect([serverId, value.status, attempts[0]?.outcome]).toEqual(["s2", status, first]);
  }
});

describe("a health check", () => {
  const probe = async (url: string) => {
    await using connection = connect(url);
    return await connection.probe(new AbortController().signal);
  };

  test("fails where the base only redirects, and names the address to configure", async () => {
    await using server = await createWebDavServer();
    await server.inject({
      kind: "status",
      status: 301,
      headers: { location: "https://dav.example.com/dav/?x=secret" },
    });
    await expect(probe(server.url)).rejects.toThrow(
      /redirect \(HTTP 301\) to https:\/\/dav\.example\.com\/dav\/\?…; set url/,
    );
  });

  test("fails where everything is answered with a page", async () => {
    await using server = await createWebDavServer();
    await server.inject({ kind: "status", status: 200, headers: HTML });
    await expect(probe(server.url)).rejects.toThrow(/PROPFIND with 200 text\/html.*no WebDAV collection.*check url/);
  });

  test("asks with PROPFIND where a gateway answers OPTIONS itself", async () => {
    await using server = await createWebDavServer();
    await server.inject({ kind: "status", status: 204, methods: ["OPTIONS"] });
    await expect(probe(server.url)).resolves.toBeUndefined();
    expect(server.requests.map(({ method }) => method)).toEqual(["OPTIONS", "PROPFIND"]);
  });
});

test("a redirect that was followed is told, and a body that can be sent again is", async () => {
  await using server = await createWebDavServer();
  server.tree.write("/folder/a", "text");
  await server.inject({
    kind: "status",
    status: 301,
    path: "/folder",
    times: 1,
    headers: { location: "/dav/folder/" },
  });
  await using connection = connect(server.url);
  const body = "<propfind xmlns='DAV:'><prop><resourcetype/></prop></propfind>";
  const response = await connection.send({ method: "PROPFIND", path: "/folder", body }, new ObservedAttempt());
  response.body.discard();
  expect(response).toMatchObject({ status: 207, redirectedTo: "/folder/" });
  expect(server.requests.map(({ path, bodyBytes }) => [path, bodyBytes])).toEqual([
    ["/folder", body.length],
    ["/folder/", body.length],
  ]);
});
