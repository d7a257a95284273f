import { Readable } from "node:stream";
import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { ignoreInterimAnswers } from "./interim-answers.ts";
import { openPool } from "./testing/pool.test-support.ts";
import { createRawServer } from "./testing/raw-server.test-support.ts";
import type { WebDavResponse } from "./wire.ts";

const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";
const CREATED = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
const consume = async ({ status, body }: WebDavResponse) => {
  await body.text();
  return status;
};
const PUT = { method: "PUT", path: "/a", body: "text" };

/** What is read from a socket over which these pieces come after a request began. */
function readOf(pieces: readonly string[]): string {
  const socket = new Readable({ read() {} }) as Socket;
  ignoreInterimAnswers(socket)();
  let text = "";
  for (const piece of pieces) {
    socket.push(piece, "latin1");
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null)
      text += chunk.toString("latin1");
  }
  return text;
}

test.each([
  ["100 Continue", CONTINUE],
  ["100 Continue with headers", "HTTP/1.1 100 Continue\r\nServer: old\r\nDate: now\r\n\r\n"],
  ["100 Continue twice", CONTINUE + CONTINUE],
  ["100 Continue after 102 Processing", `HTTP/1.1 102 Processing\r\n\r\n${CONTINUE}`],
])("a PUT that is answered with %s first is sent once and succeeds", async (_, interim) => {
  await using server = await createRawServer((socket) => socket.write(interim + CREATED));
  await using open = await openPool([server.url]);
  for (const round of [1, 2, 3, 4]) {
    const answer = await open.pool.execute(PUT, { consume });
    expect(answer).toMatchObject({ value: 201 });
    expect(server.received.split("PUT /dav/a").length - 1).toBe(round);
  }
  // Some requests went over a socket that had carried an interim answer before.
  expect(server.accepted).toBeLessThan(4);
});

test("a PUT succeeds when 100 Continue comes byte by byte", async () => {
  await using server = await createRawServer((socket) => {
    socket.setNoDelay(true);
    const bytes = Buffer.from(CONTINUE + CREATED);
    const next = (at: number) => {
      if (at < bytes.length) socket.write(bytes.subarray(at, at + 1), () => setImmediate(next, at + 1));
    };
    next(0);
  });
  await using open = await openPool([server.url]);
  const answer = await open.pool.execute(PUT, { consume });
  expect(answer).toMatchObject({ value: 201 });
  expect(server.received.match(/PUT/g)).toHaveLength(1);
});

test("interim answers are removed wherever their packets are split", () => {
  const whole = CONTINUE + CONTINUE + CREATED;
  for (let at = 0; at <= whole.length; at++) expect(readOf([whole.slice(0, at), whole.slice(at)])).toBe(CREATED);
  expect(readOf(whole.split(""))).toBe(CREATED);
});

test("an interim answer may end its lines in LF alone, and takes nothing of the answer with it", () => {
  for (const interim of ["HTTP/1.1 100 Continue\n\n", "HTTP/1.1 100 Continue\nServer: old\n\r\n"]) {
    expect(readOf([interim + CREATED])).toBe(CREATED);
    expect(readOf((interim + CREATED).split(""))).toBe(CREATED);
  }
});

test("a final answer, 101 and what is no HTTP are read as they come", () => {
  for (const answer of [
    CREATED,
    "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "HTTP/2.0 100 x\r\n\r\n",
    "SSH-2.0-x\r\n",
  ]) {
    expect(readOf([answer])).toBe(answer);
    expect(readOf(answer.split(""))).toBe(answer);
  }
});

test("a body that looks like an interim answer is left alone", () => {
  const answer = "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n";
  expect(readOf([answer, CONTINUE])).toBe(answer + CONTINUE);
});

test("an interim answer without an end is handed on once it is too long", () => {
  const endless = `HTTP/1.1 100 Continue\r\nX: ${"x".repeat(20_000)}`;
  expect(readOf([endless])).toBe(endless);
  expect(readOf([endless.slice(0, 10_000), endless.slice(10_000)])).toBe(endless);
});
