import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { expect, test } from "vitest";
import { resetSocket } from "./reset-socket.ts";

interface Pair extends AsyncDisposable {
  readonly socket: Socket;
  /** What goes wrong at the other end. */
  readonly peerFailed: Promise<unknown>;
}

/** A connection that is being made. */
async function connecting(): Promise<Pair> {
  let fail: (error: unknown) => void = () => {};
  const peerFailed = new Promise((resolve) => (fail = resolve));
  const server = createServer((peer) => peer.resume().on("error", fail)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  return { socket, peerFailed, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

test("an open connection is reset", async () => {
  await using pair = await connecting();
  await once(pair.socket, "connect");
  resetSocket(pair.socket);
  expect(await pair.peerFailed).toMatchObject({ code: "ECONNRESET" });
});

test.each(["connecting", "shutting down"])("a connection that is %s is closed without an error", async (state) => {
  await using pair = await connecting();
  const { socket } = pair;
  const errors: unknown[] = [];
  socket.on("error", (error) => errors.push(error));
  if (state === "shutting down") {
    await once(socket, "connect");
    socket.end("text");
  }
  const closed = once(socket, "close");
  resetSocket(socket);
  await closed;
  expect(errors).toEqual([]);
});
