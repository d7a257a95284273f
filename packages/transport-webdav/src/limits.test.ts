import { createWebDavServer } from "@davpool/testkit";
import { expect, test } from "vitest";
import { MAX_HEADER, MAX_PATH } from "./limits.ts";
import { traitsOf } from "./methods.ts";
import { ObservedAttempt } from "./testing/attempt.test-support.ts";
import { connect } from "./testing/connect.test-support.ts";
import { createRawServer } from "./testing/raw-server.test-support.ts";
import type { WebDavRequest } from "./wire.ts";

const long = "a".repeat(MAX_HEADER + 1);
const header = (name: string, value = long): WebDavRequest => ({
  method: "MOVE",
  path: "/a",
  headers: { [name]: value },
});

test.each<[string, WebDavRequest, RegExp]>([
  ["path", { method: "GET", path: "/".repeat(MAX_PATH + 1) }, /8193 characters, and the limit is 8192/],
  ["If", header("If"), /The header If has 16385 characters/],
  ["Lock-Token", header("Lock-Token"), /Lock-Token/],
  ["If-Match", header("If-Match"), /If-Match/],
  ["Timeout", header("Timeout"), /Timeout/],
  ["Destination", header("Destination"), /Destination/],
  [
    "sum of all headers",
    { method: "GET", path: "/", headers: Object.fromEntries(Array.from("abcde", (name) => [name, long.slice(1)])) },
    /more than 65536 characters together/,
  ],
])(
  "a %s that is too long is refused before anything reads it, and nothing is sent",
  async (_name, request, message) => {
    await using server = await createWebDavServer();
    await using connection = connect(server.url);
    expect(traitsOf(request)).not.toHaveProperty("boundTo");
    await expect(connection.send(request, new ObservedAttempt())).rejects.toThrow(message);
    expect(server.connectionsAccepted).toBe(0);
  },
);

test("what is as long as it may be is sent", async () => {
  await using server = await createRawServer((socket) => socket.write("HTTP/1.1 204 No Content\r\n\r\n"));
  await using connection = connect(server.url);
  const request = { method: "GET", path: `/${"a".repeat(MAX_PATH - 1)}`, headers: { "X-Own": long.slice(1) } };
  expect((await connection.send(request, new ObservedAttempt())).status).toBe(204);
});
