import type { TcpNetConnectOpts } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { MessageChannel, receiveMessageOnPort, Worker } from "node:worker_threads";

/** A connection that carries nothing, and does not keep the process alive once it is settled. */
export interface PlainConnection {
  /** Resolves when it is known whether the connection was accepted. */
  readonly settled: Promise<boolean>;
  /** Resets the connection; resolves when it no longer exists. */
  close(): Promise<void>;
  /** Lets the process end although it is not known whether the connection is accepted. */
  unref(): void;
}

const CONNECTOR = `
const { connect } = require("node:net");
const { parentPort } = require("node:worker_threads");
parentPort.on("message", ({ options, port }) => {
  const socket = connect(options);
  socket.once("connect", () => port.postMessage(true));
  socket.once("error", () => port.postMessage(false));
  port.once("message", () => {
    const closed = () => port.postMessage("closed");
    socket.once("close", closed);
    if (socket.closed) closed();
    else if (socket.connecting) socket.destroy();
    else socket.resetAndDestroy();
  });
});
`;

let connector: Worker | undefined;

/**
 * Connects in a thread of its own. Libraries that mock HTTP, such as nock 15 and msw 3, replace the sockets of the
 * thread that they are imported in: those seem to connect at once, really connect only when something is written, and
 * keep the process alive until then.
 */
export function openPlainConnection(options: TcpNetConnectOpts): PlainConnection {
  if (connector === undefined) {
    connector = new Worker(CONNECTOR, { eval: true, execArgv: [] });
    connector.unref();
  }
  const { port1: near, port2: port } = new MessageChannel();
  connector.postMessage({ options, port }, [port]);
  const state = { closed: false };
  const { promise: settled, resolve: settle } = Promise.withResolvers<boolean>();
  const hear = (said: boolean | "closed") => {
    near.unref();
    if (said === "closed") state.closed = true;
    else settle(said);
  };
  near.on("message", hear);
  return {
    settled,
    async close() {
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- it is not that of a window
      near.postMessage("close");
      // On a busy machine the event of a message from another thread may stay out, so its queue is looked at as well.
      while (!state.closed) {
        const waiting = receiveMessageOnPort(near);
        if (waiting) hear(waiting.message);
        else await delay(1);
      }
      near.close();
    },
    unref: () => near.unref(),
  };
}
