import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { openPlainConnection, type PlainConnection } from "./plain-connection.ts";

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
  const worker = new Worker(LISTENER, { eval: true, execArgv: [], workerData: { host, port } });
  const [outcome] = await once(worker, "message");
  // A fault that is forgotten must not keep the process alive.
  worker.unref();
  if (outcome !== "listening") {
    await worker.terminate();
    throw Object.assign(new Error(`port ${port} cannot be listened on: ${outcome}`), { code: outcome });
  }
  const queued: PlainConnection[] = [];
  // Others who connect at this moment may take places in the queue as well. Connections that come while another one is
  // being made may be dropped, and the kernel would try them again only after a second: that is not waited for.
  while ((await queueLength(port)) < QUEUE) {
    const connection = openPlainConnection({ host, port });
    queued.push(connection);
    await Promise.race([connection.settled, delay(5)]);
  }
  for (const connection of queued) connection.unref();
  return async () => {
    // In this order: a place that becomes free while it listens would be taken by whoever waits.
    await worker.terminate();
    await Promise.all(queued.map((connection) => connection.close()));
  };
}

/** How many connections wait for the listener on the port to take them, as the kernel tells. */
async function queueLength(port: number): Promise<number> {
  const sockets = await readFile("/proc/net/tcp", "utf8");
  const hexadecimal = port.toString(16).toUpperCase().padStart(4, "0");
  // Number, local address, remote address, state (0A: listening), bytes to send and connections to take.
  const [, waiting = "0"] = new RegExp(`:${hexadecimal} \\S+ 0A [0-9A-F]+:([0-9A-F]+)`).exec(sockets) ?? [];
  return Number.parseInt(waiting, 16);
}
