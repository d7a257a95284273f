import { openPlainConnection } from "./plain-connection.ts";

/**
 * Keeps a port of `host` from being given to anybody else while nothing listens on it, so that a server can come back
 * on it: a socket is bound to the port and connected to itself. Others who connect are refused, and a listener may
 * be opened on the port while it is reserved. Where the system does not allow this, the port is merely likely to
 * stay free. Returns what ends the reservation.
 */
export async function reservePort(host: string, port: number): Promise<() => Promise<void>> {
  const connection = openPlainConnection({ host, port, localAddress: host, localPort: port });
  await connection.settled;
  return () => connection.close();
}
