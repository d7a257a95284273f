import { once } from "node:events";
import type { TcpNetConnectOpts } from "node:net";
import { MessageChannel, Worker } from "node:worker_threads";

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
    socket.once("close", () => port.close());
    if (socket.closed) port.close();
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
  const settled = new Promise<boolean>((resolve) => {
    // Not once: the port does not close before every message has been taken.
    near.on("message", (accepted: boolean) => {
      near.unref();
      resolve(accepted);
    });
  });
  return {
    settled,
    async close() {
      const closed = once(near, "close");
      near.ref();
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- it is not that of a window
      near.postMessage("close");
      await closed;
    },
    unref: () => near.unref(),
  };
}
