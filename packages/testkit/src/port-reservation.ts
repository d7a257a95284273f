import { connect } from "node:net";

/**
 * Keeps a port of `host` from being given to anybody else while nothing listens on it, so that a server can come back
 * on it: a socket is bound to the port and connected to itself. Others who connect are refused, and a listener may
 * be opened on the port while it is reserved. Where the system does not allow this, the port is merely likely to
 * stay free. Returns what ends the reservation.
 */
export function reservePort(host: string, port: number): Promise<() => void> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, localAddress: host, localPort: port });
    // A stopped server that is forgotten must not keep the process alive.
    socket.unref();
    socket.once("connect", () => resolve(() => void socket.resetAndDestroy()));
    socket.once("error", () => resolve(() => {}));
  });
}
