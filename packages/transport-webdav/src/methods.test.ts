import { describe, expect, test } from "vitest";
import { METHODS, isSafe, traitsOf } from "./methods.ts";
import type { WebDavBody } from "./wire.ts";

test.each([
  ["safe", ["GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"]],
  ["idempotent", ["PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPPATCH", "UNLOCK"]],
  ["neither", ["LOCK", "POST", "PATCH"]],
] as const)("%s: %j", (repeat, methods) => {
  for (const method of methods) {
    expect(traitsOf({ method, path: "/" })).toEqual({ operation: method, repeat, replayable: true });
    expect(isSafe(method)).toBe(repeat === "safe");
  }
});

test("there are no others", () => {
  expect(METHODS).toHaveLength(16);
  expect(traitsOf({ method: "BREW", path: "/" })).toEqual({
    operation: "UNKNOWN",
    repeat: "neither",
    replayable: true,
  });
});

test("requests of one kind share their traits", () => {
  const traits = traitsOf({ method: "GET", path: "/", headers: { Depth: "0" } });
  expect(traitsOf({ method: "GET", path: "" })).toBe(traits);
  expect(Object.isFrozen(traits)).toBe(true);
});

test("a MOVE that may replace something is never repeated: some servers would delete what was moved", () => {
  const repeat = (Overwrite: string) => traitsOf({ method: "MOVE", path: "/a", headers: { Overwrite } }).repeat;
  expect([repeat("T"), repeat("t"), repeat("F")]).toEqual(["neither", "neither", "idempotent"]);
});

test.each([
  ["/mount/a/b", "mount"],
  ["mount", "mount"],
  ["//mount//", "mount"],
  ["/%6dount/x", "mount"],
  ["/gr%C3%BCn/x", "grün"],
  ["/100%/x", "100%"],
  ["/", undefined],
  ["", undefined],
])("a request to %j is about %j", (path, resource) => {
  expect(traitsOf({ method: "GET", path }).resource).toBe(resource);
});

describe("a body can be sent again", () => {
  async function* stream(): AsyncGenerator<Uint8Array> {}

  test.each<[string, WebDavBody | undefined, boolean]>([
    ["none", undefined, true],
    ["text", "text", true],
    ["no text", "", true],
    ["bytes", new Uint8Array(3), true],
    ["a function", stream, true],
    ["a stream", stream(), false],
  ])("%s: %s %s", (_name, body, replayable) => {
    expect(traitsOf({ method: "PUT", path: "/a", ...(body !== undefined && { body }) }).replayable).toBe(replayable);
  });
});

describe("what binds a request to one server", () => {
  const bound = (headers: Record<string, string>, path = "/a/b") => traitsOf({ method: "PUT", path, headers }).boundTo;

  test.each<[Record<string, string>, readonly string[] | undefined]>([
    [{ "If-Match": '"x"' }, ['etag a/b "x"']],
    [{ "IF-MATCH": '"x", W/"y"' }, ['etag a/b "x"', 'etag a/b W/"y"']],
    [{ "If-Match": "*" }, undefined],
    [{ "If-None-Match": '"x"' }, undefined],
    [{ "Lock-Token": "<urn:1>" }, ["lock urn:1"]],
    [{ "lock-token": "urn:1" }, ["lock urn:1"]],
    [{ If: "urn:1" }, ["lock urn:1"]],
    [{ If: "(<urn:1>)" }, ["lock urn:1"]],
    [{ If: '(<urn:1> ["x"]) (["y)"])' }, ["lock urn:1", 'etag a/b "x"', 'etag a/b "y)"']],
    [{ If: '(<urn:1>) (Not <DAV:no-lock> [W/"z"])' }, ["lock urn:1", 'etag a/b W/"z"']],
    [{ If: '</c> (<urn:1>) (["x"]) </d/> (["y"])' }, ["lock urn:1", 'etag c "x"', 'etag d "y"']],
    [{ If: "(Not <DAV:no-lock>)" }, undefined],
    [{ "If-Match": '"x"', If: "urn:1" }, ['etag a/b "x"', "lock urn:1"]],
    [{ Depth: "1", Oh: "x", "X-Longer": "y", "Ten-Letter": "z" }, undefined],
  ])("%j: %j", (headers, keys) => {
    expect(bound(headers)).toEqual(keys);
  });

  test("a path is the same however it is spelled", () => {
    const keys = bound({ "If-Match": '"x"' }, "/a b/ü/");
    expect(bound({ "If-Match": '"x"' }, "a%20b//%c3%bc")).toEqual(keys);
    expect(bound({ "If-Match": '"x"' }, "/5%")).toEqual(['etag 5% "x"']);
  });
});
