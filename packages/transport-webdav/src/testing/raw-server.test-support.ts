import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";

export interface RawServer extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** Everything that was received, as text. */
  readonly received: string;
  /** Connections that were ever accepted. */
  readonly accepted: number;
}

/**
 * A server that answers each request head with exact bytes, for what no well-behaved server sends.
 * @param answer is called with the socket and the number of the request on all sockets, from 1.
 */
export async function createRawServer(answer: (socket: Socket, request: number) => void): Promise<RawServer> {
  const sockets = new Set<Socket>();
  let received = "";
  let [accepted, requests] = [0, 0];
  const server = createServer((socket) => {
    accepted++;
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    let pending = "";
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      pending += chunk.toString("latin1");
      for (let end = pending.indexOf("\r\n\r\n"); end >= 0; end = pending.indexOf("\r\n\r\n")) {
        pending = pending.slice(end + 4);
        answer(socket, ++requests);
      }
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}/dav/`,
    get received() {
      return received;
    },
    get accepted() {
      return accepted;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
