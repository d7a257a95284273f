import { connect, createServer } from "node:net";
import type { Socket } from "node:net";
import { systemClock } from "../clock.ts";
import type { Clock } from "../clock.ts";
import type { ActiveFault } from "../faults/fault.ts";
import { isListenerFault } from "../faults/switchboard.ts";
import { Listener } from "../listener.ts";
import { ProxiedConnection } from "./proxied-connection.ts";
import type { ProxyFault } from "./proxy-fault.ts";
import { ProxySwitchboard } from "./switchboard.ts";

export interface FaultProxyOptions {
  /** Where connections are forwarded to: a URL, or a port of `127.0.0.1`. */
  readonly target: string | URL | number;
  /** Default 0: any free port. It stays the same for the proxy's life. */
  readonly port?: number;
  /** The time for `bandwidth`, `slicer` and `latency`. Default the real clock. */
  readonly clock?: Clock;
}

/** A TCP proxy on a loopback socket, with faults that can be switched on and off while it runs. */
export interface FaultProxy extends AsyncDisposable {
  /** The target's URL by way of the proxy: `http://127.0.0.1:4711/dav/`. */
  readonly url: string;
  readonly port: number;
  /** Clients' connections that are open now. */
  readonly connections: number;
  /** Clients' connections that were ever accepted. */
  readonly connectionsAccepted: number;
  /** Resolves when at least `count` (default 1) clients' connections are open. */
  connected(count?: number): Promise<void>;
  /** Resolves when no more than `count` (default 0) clients' connections are open. */
  disconnected(count?: number): Promise<void>;
  /**
   * Switches a fault on; it acts from the moment the promise resolves, on new connections and on those that are open.
   * Several can be on at once. Rejects with a TypeError or RangeError for one that makes no sense.
   */
  inject(fault: ProxyFault): Promise<ActiveFault<ProxyFault>>;
  /** Switches all faults off. */
  clearFaults(): Promise<void>;
  /** Closes the listener and resets all connections, also those to the target. Faults stay. */
  stop(): Promise<void>;
  /** Listens again on the same port. Rejects with node's `EADDRINUSE` when another process has taken it. */
  start(): Promise<void>;
}

/**
 * Starts a TCP proxy on `127.0.0.1`, for faults that HTTP cannot express. Without faults it forwards everything in
 * both directions: bytes as fast as the receiver takes them, the end of one direction, and resets. A target that
 * cannot be reached shows as a reset. Rejects with node's error when it cannot listen.
 *
 * ```ts
 * await using server = await createWebDavServer();
 * await using proxy = await createFaultProxy({ target: server.url });
 * await using _ = await proxy.inject({ kind: "half-open", afterBytes: 100 });
 * await fetch(proxy.url); // falls silent in the midst of the answer
 * ```
 */
export async function createFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const clock = options.clock ?? systemClock;
  const target = new URL(typeof options.target === "number" ? `http://127.0.0.1:${options.target}/` : options.target);
  const connections = new Set<ProxiedConnection>();
  const tcpServer = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (client) => {
    const connection = new ProxiedConnection({
      client,
      connect: () => connectTo(target),
      clock,
      faults,
      closed: () => connections.delete(connection),
    });
    connections.add(connection);
  });
  const listener = new Listener({ server: tcpServer, port: options.port ?? 0 });
  const faults = new ProxySwitchboard(listener, (off) => {
    for (const connection of connections) connection.faultsChanged(off);
  });

  function resetAll(): void {
    for (const connection of connections) connection.reset();
  }

  await listener.start();
  const url = new URL(target);
  url.hostname = "127.0.0.1";
  url.port = String(listener.port);
  return {
    url: url.href,
    port: listener.port,
    get connections() {
      return listener.connections;
    },
    get connectionsAccepted() {
      return listener.accepted;
    },
    connected: (count = 1) => listener.connectionsWhere((open) => open >= count),
    disconnected: (count = 0) => listener.connectionsWhere((open) => open <= count),
    inject: async (fault) => {
      const active = await faults.inject(fault);
      // The listener has destroyed the clients' sockets; a fault that conceals that must not keep the other half.
      if (isListenerFault(fault)) resetAll();
      return active;
    },
    clearFaults: () => faults.clear(),
    stop: async () => {
      await listener.stop();
      resetAll();
    },
    start: () => listener.start(),
    [Symbol.asyncDispose]: async () => {
      await listener.dispose();
      resetAll();
      await faults.clear();
    },
  };
}

function connectTo(target: URL): Socket {
  const defaultPort = target.protocol === "https:" ? 443 : 80;
  return connect({
    host: target.hostname.replace(/^\[|\]$/g, ""),
    port: target.port === "" ? defaultPort : Number(target.port),
    allowHalfOpen: true,
    noDelay: true,
  });
}
