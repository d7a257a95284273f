import { subscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { buildConnector } from "undici";

/** Our sockets, and the bytes that had come over each when its latest request began. */
const received = new WeakMap<Socket, number>();
/** Errors that ended a request on a socket which had answered earlier ones, before a byte came for this one. */
const stale = new WeakSet<object>();
let watching = false;

/**
 * Servers close connections that wait for a next request, and a request may be on its way just then: Apache does so to
 * all that wait when it has no worker left. A client cannot prevent it (RFC 9112 §9.3.1), and it says nothing about the
 * server's health. It is told from real trouble by what had come over the socket before: answers to other requests, and
 * nothing since this one was sent. undici tells on which socket that was.
 */
export function connector(options: buildConnector.BuildOptions): buildConnector.connector {
  if (!watching) subscribe("undici:client:sendHeaders", requestBegins);
  watching = true;
  const connect = buildConnector(options);
  return (to, done) =>
    connect(to, (...[error, socket]: Parameters<buildConnector.Callback>) => {
      if (error) {
        done(error, null);
        return;
      }
      received.set(socket, 0);
      socket.once("error", (problem: Error) => {
        const before = received.get(socket) ?? 0;
        if (before > 0 && socket.bytesRead === before) stale.add(problem);
      });
      done(null, socket);
    });
}

function requestBegins(message: unknown): void {
  const { socket } = message as { readonly socket: Socket };
  if (received.has(socket)) received.set(socket, socket.bytesRead);
}

/** Whether a connection that had been waiting for a next request was closed just as one was sent. */
export function isStale(error: unknown): boolean {
  return typeof error === "object" && error !== null && stale.has(error);
}
