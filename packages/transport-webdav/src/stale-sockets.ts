import { subscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { buildConnector } from "undici";
import { ignoreInterimAnswers } from "./interim-answers.ts";

interface Tracked {
  /** Bytes that had come over the socket when its latest request began. */
  received: number;
  readonly requestBegins: () => void;
}

/** Our sockets. */
const sockets = new WeakMap<Socket, Tracked>();
/** Errors that ended a request on a socket which had answered earlier ones, before a byte came for this one. */
const stale = new WeakSet<object>();
let watching = false;

/**
 * Servers close connections that wait for a next request, and a request may be on its way just then: Apache does so to
 * all that wait when it has no worker left. A client cannot prevent it (RFC 9112 §9.3.1), and it says nothing about the
 * server's health. It is told from real trouble by what had come over the socket before: answers to other requests, and
 * nothing since this one was sent. undici tells on which socket that was. The sockets also ignore interim answers.
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
      const tracked: Tracked = { received: 0, requestBegins: ignoreInterimAnswers(socket) };
      sockets.set(socket, tracked);
      socket.once("error", (problem: Error) => {
        const before = tracked.received;
        if (before > 0 && socket.bytesRead === before) stale.add(problem);
      });
      done(null, socket);
    });
}

function requestBegins(message: unknown): void {
  const { socket } = message as { readonly socket: Socket };
  const tracked = sockets.get(socket);
  if (!tracked) return;
  tracked.received = socket.bytesRead;
  tracked.requestBegins();
}

/** Whether a connection that had been waiting for a next request was closed just as one was sent. */
export function isStale(error: unknown): boolean {
  return typeof error === "object" && error !== null && stale.has(error);
}
