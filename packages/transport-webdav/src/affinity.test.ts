import { expect, test } from "vitest";
import { learned } from "./affinity.ts";
import type { WebDavResponse } from "./wire.ts";

/** @param text the answer's body. */
async function teaches(
  method: string,
  status: number,
  headers: Record<string, string | string[]>,
  given: Record<string, string> = {},
  text = "",
): Promise<readonly object[]> {
  const peek = (size: number) => Promise.resolve(Buffer.from(text).subarray(0, size));
  const response = { status, headers, body: { peek } } as unknown as WebDavResponse;
  return learned({ method, path: "/a/b.txt", headers: given }, response);
}

const TOKEN = { "lock-token": "<urn:1>" };
const granted = (...times: string[]) => times.map((time) => `<D:timeout>\n${time} </D:timeout>`).join("");

test.each([
  ["the time that the server grants, whatever was asked for", "Second-60", granted("Second-7"), 7_000],
  ["the longest of several granted times", "Second-60", granted("Second-7", "Second-9"), 9_000],
  ["the longest time that was asked for, where the answer names none", "Second-60, Second-90", "", 90_000],
  ["an hour where nobody says a time", "soon", granted("later"), 3_600_000],
])("a LOCK teaches its token for %s", async (_name, Timeout, text, ttl) => {
  expect(await teaches("LOCK", 200, TOKEN, { Timeout }, text)).toEqual([{ learn: "lock urn:1", kind: "lock", ttl }]);
});

test.each([
  ["Second-60", granted("Infinite")],
  ["Infinite, Second-60", ""],
  ["infinite", granted("nonsense")],
])("a lock without an end is remembered without one: asked %s, granted %s", async (Timeout, text) => {
  expect(await teaches("LOCK", 200, TOKEN, { Timeout }, text)).toEqual([{ learn: "lock urn:1", kind: "lock" }]);
});

test("a LOCK that is refused teaches nothing", async () => {
  expect(await teaches("LOCK", 423, TOKEN)).toEqual([]);
  expect(await teaches("LOCK", 207, {})).toEqual([]);
});

test("a refreshed lock is remembered anew although its answer does not name it", async () => {
  expect(await teaches("LOCK", 200, {}, { If: "(<urn:1>)", Timeout: "Second-5" })).toEqual([
    { learn: "lock urn:1", kind: "lock", ttl: 5_000 },
  ]);
});

test("a new lock whose answer has no token does not claim the tokens that the request names", async () => {
  const response = { status: 200, headers: {} } as unknown as WebDavResponse;
  const request = { method: "LOCK", path: "/a", headers: { If: "(<urn:1>)" }, body: "<lockinfo/>" };
  expect(await learned(request, response)).toEqual([]);
});

test("the entity tag of an answer to COPY or MOVE is not taken for the source's", async () => {
  for (const method of ["COPY", "MOVE"]) expect(await teaches(method, 201, { etag: '"x"' })).toEqual([]);
});

test("an UNLOCK that worked makes its token forgotten", async () => {
  expect(await teaches("UNLOCK", 204, {}, { "Lock-Token": "<urn:1>" })).toEqual([{ forget: "lock urn:1" }]);
  expect(await teaches("UNLOCK", 204, {})).toEqual([]);
  expect(await teaches("UNLOCK", 409, {}, { "Lock-Token": "<urn:1>" })).toEqual([]);
});

test("an entity tag is remembered together with its path", async () => {
  expect(await teaches("GET", 200, { etag: 'W/"x-gzip"' })).toEqual([
    { learn: 'etag a/b.txt W/"x-gzip"', kind: "tag" },
  ]);
  expect(await teaches("PUT", 201, { etag: '"y"' })).toEqual([{ learn: 'etag a/b.txt "y"', kind: "tag" }]);
  expect(await teaches("GET", 404, { etag: '"x"' })).toEqual([]);
  expect(await teaches("GET", 200, { etag: ['"x"', '"y"'] })).toEqual([]);
});

test("other answers teach nothing", async () => {
  expect(await teaches("GET", 200, { "lock-token": "<urn:1>" })).toEqual([]);
  expect(
    await learned({ method: "UNLOCK", path: "/" }, { status: 204, headers: {} } as unknown as WebDavResponse),
  ).toEqual([]);
});
