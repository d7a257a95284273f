import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { Worker } from "node:worker_threads";

/** How many connections the kernel accepts for a listener with a backlog of 1 whose program accepts none. */
const QUEUE = 2;

/** Blocks its thread as soon as it listens, so that no connection is ever taken from the kernel's queue. */
const LISTENER = `
const { createServer } = require("node:net");
const { parentPort, workerData } = require("node:worker_threads");
const server = createServer();
server.once("error", (error) => parentPort.postMessage(error.code));
server.listen({ ...workerData, backlog: 1 }, () => {
  parentPort.postMessage("listening");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
`;

/**
 * Listens on the port in such a way that whoever connects gets no reply at all, neither acceptance nor refusal: the
 * kernel's queue of connections is full and stays so. Returns what ends it.
 * @throws Error when the port is taken, or where the system is not Linux, whose kernel this relies on.
 */
export async function openDeafListener(host: string, port: number): Promise<() => Promise<void>> {
  if (process.platform !== "linux") throw new Error("a listener that lets connections time out needs Linux.");
  const worker = new Worker(LISTENER, { eval: true, workerData: { host, port } });
  const [outcome] = await once(worker, "message");
  // A fault that is forgotten must not keep the process alive.
  worker.unref();
  if (outcome !== "listening") {
    await worker.terminate();
    throw Object.assign(new Error(`port ${port} cannot be listened on: ${outcome}`), { code: outcome });
  }
  const queued: Socket[] = [];
  while (queued.length < QUEUE) {
    const socket = connect({ host, port });
    queued.push(socket);
    await once(socket, "connect");
    socket.on("error", () => {}).unref();
  }
  return async () => {
    for (const socket of queued) socket.destroy();
    await worker.terminate();
  };
}
