import { expect, test } from "vitest";
import { learned } from "./affinity.ts";
import type { WebDavResponse } from "./wire.ts";

function teaches(
  method: string,
  status: number,
  headers: Record<string, string | string[]>,
  given: Record<string, string> = {},
): readonly object[] {
  const response = { status, headers } as unknown as WebDavResponse;
  return learned({ method, path: "/a/b.txt", headers: given }, response);
}

test("a LOCK teaches its token for as long as was asked", () => {
  const token = { "lock-token": "<urn:1>" };
  expect(teaches("LOCK", 200, token, { Timeout: "Infinite, Second-60" })).toEqual([
    { learn: "lock urn:1", kind: "lock", ttl: 60_000 },
  ]);
  expect(teaches("LOCK", 201, token)).toEqual([{ learn: "lock urn:1", kind: "lock", ttl: 3_600_000 }]);
  expect(teaches("LOCK", 423, token)).toEqual([]);
  expect(teaches("LOCK", 207, {})).toEqual([]);
});

test("a refreshed lock is remembered anew although its answer does not name it", () => {
  expect(teaches("LOCK", 200, {}, { If: "(<urn:1>)", Timeout: "Second-5" })).toEqual([
    { learn: "lock urn:1", kind: "lock", ttl: 5_000 },
  ]);
});

test("an UNLOCK that worked makes its token forgotten", () => {
  expect(teaches("UNLOCK", 204, {}, { "Lock-Token": "<urn:1>" })).toEqual([{ forget: "lock urn:1" }]);
  expect(teaches("UNLOCK", 204, {})).toEqual([]);
  expect(teaches("UNLOCK", 409, {}, { "Lock-Token": "<urn:1>" })).toEqual([]);
});

test("an entity tag is remembered together with its path", () => {
  expect(teaches("GET", 200, { etag: 'W/"x-gzip"' })).toEqual([{ learn: 'etag a/b.txt W/"x-gzip"', kind: "tag" }]);
  expect(teaches("PUT", 201, { etag: '"y"' })).toEqual([{ learn: 'etag a/b.txt "y"', kind: "tag" }]);
  expect(teaches("GET", 404, { etag: '"x"' })).toEqual([]);
  expect(teaches("GET", 200, { etag: ['"x"', '"y"'] })).toEqual([]);
});

test("other answers teach nothing", () => {
  expect(teaches("GET", 200, { "lock-token": "<urn:1>" })).toEqual([]);
  expect(learned({ method: "UNLOCK", path: "/" }, { status: 204, headers: {} } as unknown as WebDavResponse)).toEqual(
    [],
  );
});
