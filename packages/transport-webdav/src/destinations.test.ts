import { createWebDavServer } from "@davpool/testkit";
import { missingProgram, startApache } from "@davpool/testkit/real-servers";
import { describe, expect, test } from "vitest";
import { destinationProblem } from "./destinations.ts";
import { ObservedAttempt } from "./testing/attempt.test-support.ts";
import { connect } from "./testing/connect.test-support.ts";
import type { WebDavRequest } from "./wire.ts";

/** Spellings of the base, the source `/keep/sub/e` and the folders above it. */
const DESTROYING = (url: string) => [
  "",
  "/",
  "//",
  "///",
  url,
  url.slice(0, -1),
  `${url}/`,
  "/keep",
  "keep",
  "keep/",
  "//keep//",
  "/%6beep",
  "/keep/sub",
  "/keep//s%75b/",
  `${url}keep`,
  `${url}%6Beep/`,
  "/keep/sub/e",
  "/keep/sub/e/",
  "keep//sub//%65",
  `${url}keep/sub/e`,
  ".",
  "/.",
  "./",
  "/keep/.",
  "/keep/..",
  "/keep/sub/%2e%2e",
  "/x/../keep",
  `${url}x/../keep`,
  `${url}.`,
];

/** Sends a request and reads its answer. */
async function ask(url: string, request: WebDavRequest): Promise<{ status: number; text: string }> {
  await using connection = connect(url);
  const { status, body } = await connection.send(request, new ObservedAttempt());
  return { status, text: await body.text() };
}

const transfer = (method: string, Destination: string, more: Readonly<Record<string, string>> = {}) => ({
  method,
  path: "/keep/sub/e",
  headers: { Destination, ...more },
});

async function refusesAll(url: string): Promise<void> {
  for (const method of ["COPY", "MOVE"])
    for (const destination of DESTROYING(url))
      await expect(ask(url, transfer(method, destination, { Overwrite: "T" })), destination).rejects.toMatchObject({
        code: "INVALID_PATH",
      });
}

test("COPY and MOVE to the base, the source or above the source are never sent", async () => {
  await using server = await createWebDavServer();
  server.tree.write("/keep/sub/e", "kept");
  await refusesAll(server.url);
  expect(server.requests).toEqual([]);
  expect(server.tree.readText("/keep/sub/e")).toBe("kept");
});

test.each(["COPY", "MOVE"])("%s replaces nothing unless the request says so", async (method) => {
  await using server = await createWebDavServer();
  server.tree.write("/keep/sub/e", "new");
  server.tree.write("/keep/f", "old");
  expect(await ask(server.url, transfer(method, "/keep/f"))).toMatchObject({ status: 412 });
  expect(await ask(server.url, transfer(method, "/keep/f", { overwrite: "f" }))).toMatchObject({ status: 412 });
  expect(server.tree.readText("/keep/f")).toBe("old");
  expect(await ask(server.url, transfer(method, "/keep/f", { overwrite: "t" }))).toMatchObject({ status: 204 });
  expect(server.tree.readText("/keep/f")).toBe("new");
  await expect(ask(server.url, transfer(method, "/g", { Overwrite: "yes" }))).rejects.toThrow(/must be T/);
});

test("a header that is given twice is refused, whichever of the two is harmless", async () => {
  await using server = await createWebDavServer();
  server.tree.write("/keep/sub/e", "kept");
  await expect(ask(server.url, transfer("MOVE", "/f", { destination: "/keep" }))).rejects.toThrow(/given twice/);
  expect(server.requests).toEqual([]);
});

describe("a destination", () => {
  const problem = (method: string, path: string, Destination: string, more: Record<string, string> = {}) =>
    destinationProblem({ method, path, headers: { Destination, ...more } });

  test.each([
    ["beside the source", "/a/b", "/a/c"],
    ["whose name begins like the source's", "/a/b", "/a/bc"],
    ["whose name begins the source's", "/a/bc", "/a/b"],
    ["in a folder below", "/a/b", "/a/c/d"],
  ])("%s is accepted", (_name, path, destination) => {
    expect(problem("MOVE", path, destination)).toBeUndefined();
    expect(problem("COPY", path, destination)).toBeUndefined();
  });

  test("inside the source is refused, unless only the collection itself is copied", () => {
    expect(problem("MOVE", "/a", "/a/b")).toBe("is inside the source.");
    expect(problem("COPY", "/", "/a", { Depth: "infinity" })).toBe("is inside the source.");
    expect(problem("COPY", "/a/", "/a/b", { Depth: "0" })).toBeUndefined();
  });

  test("means nothing to other methods", () => {
    expect(problem("PUT", "/a", "/")).toBeUndefined();
  });
});

describe.skipIf(missingProgram("apache2"))("Apache", () => {
  test("keeps everything, although it deletes the destination of a COPY or MOVE first", async () => {
    await using server = await startApache();
    for (const path of ["/keep/", "/keep/sub/"]) await ask(server.url, { method: "MKCOL", path });
    await ask(server.url, { method: "PUT", path: "/keep/sub/e", body: "kept" });
    await refusesAll(server.url);
    expect(await ask(server.url, { method: "GET", path: "/keep/sub/e" })).toEqual({ status: 200, text: "kept" });
  });
});
