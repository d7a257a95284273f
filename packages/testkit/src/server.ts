import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { textAnswer } from "./answer.ts";
import type { Answer } from "./answer.ts";
import type { ServerAuth } from "./auth.ts";
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { dispatch } from "./dispatch.ts";
import { Exchange } from "./exchange.ts";
import type { ActiveFault, Fault } from "./faults/fault.ts";
import { Switchboard } from "./faults/switchboard.ts";
import { KeepAlive } from "./keep-alive.ts";
import { Listener } from "./listener.ts";
import { LockTable } from "./locks.ts";
import { decodeTarget, normalizeBasePath } from "./paths.ts";
import { RequestLog } from "./request-log.ts";
import type { LoggedRequest, RequestFilter } from "./request-log.ts";
import { ClientGone } from "./sending.ts";
import type { Site } from "./site.ts";
import { FileTree } from "./tree.ts";
import { Changes } from "./waiting.ts";

export interface WebDavServerOptions {
  /** What the server is called in the `x-served-by` header of its answers. Default `server-1`. */
  readonly name?: string;
  /** Default 0: any free port. It stays the same for the server's life. */
  readonly port?: number;
  /** Where the tree's root is. Default `/dav/`. */
  readonly basePath?: string;
  /** The files to serve; give one tree to several servers to make replicas. Default an empty tree of its own. */
  readonly tree?: FileTree;
  /** The locks; give one table to several servers to have them share locks. Default a table of its own. */
  readonly locks?: LockTable;
  /** Basic (`username`, `password`) or Bearer (`token`) credentials that each request must bring. Default none. */
  readonly auth?: ServerAuth;
  /** Seconds that a lock lasts which asks for nothing, and the most that one is granted. Default 600. */
  readonly lockTimeout?: number;
  /** Milliseconds after which an idle connection is closed. Default 0: never. */
  readonly keepAliveTimeout?: number;
  /** How many requests the log keeps; older ones are dropped. Default: all. Set it where a test sends millions. */
  readonly logLimit?: number;
  /** The time for delays and locks. Default the real clock. */
  readonly clock?: Clock;
}

/** A WebDAV server on a loopback socket, with faults that can be switched on and off while it runs. */
export interface WebDavServer extends AsyncDisposable {
  readonly name: string;
  /** Of the tree's root, with a trailing slash: `http://127.0.0.1:4711/dav/`. */
  readonly url: string;
  readonly port: number;
  readonly tree: FileTree;
  readonly locks: LockTable;
  /** Every request since the start or {@link clearRequests}, in order of arrival. */
  readonly requests: readonly LoggedRequest[];
  clearRequests(): void;
  /** Connections that are open now. */
  readonly connections: number;
  /** Connections that were ever accepted. */
  readonly connectionsAccepted: number;
  /**
   * Resolves with all matching requests in the log as soon as there are `count` (default 1). A request counts from
   * the moment its headers have been read, before any of its body and before faults act.
   */
  received(count?: number, filter?: RequestFilter): Promise<readonly LoggedRequest[]>;
  /** Resolves with the first matching request whose headers are read after this call. */
  nextRequest(filter?: RequestFilter): Promise<LoggedRequest>;
  /** Resolves when no request is under way: each is answered, or its connection has gone. */
  idle(): Promise<void>;
  /** Resolves when at least `count` (default 1) connections are open. */
  connected(count?: number): Promise<void>;
  /** Resolves when no more than `count` (default 0) connections are open. */
  disconnected(count?: number): Promise<void>;
  /**
   * Switches a fault on; it acts from the moment the promise resolves, on requests that arrive then. Several can be
   * on at once. Of those that change how a body is sent, the one switched on last decides. Rejects with a TypeError
   * or RangeError for one that makes no sense.
   */
  inject(fault: Fault): Promise<ActiveFault>;
  /** Switches all faults off. */
  clearFaults(): Promise<void>;
  /** Closes the listener and destroys all connections at once, as a crash does. Tree, locks, log and faults stay. */
  stop(): Promise<void>;
  /** Listens again on the same port. Rejects with node's `EADDRINUSE` when another process has taken it. */
  start(): Promise<void>;
}

/**
 * Starts a WebDAV server (RFC 4918, classes 1 and 2) on `127.0.0.1`. Rejects with node's error when it cannot listen.
 *
 * ```ts
 * await using server = await createWebDavServer();
 * server.tree.write("/hello.txt", "hello");
 * await using _ = await server.inject({ kind: "status", status: 503, times: 1 });
 * ```
 */
export async function createWebDavServer(options: WebDavServerOptions = {}): Promise<WebDavServer> {
  const clock = options.clock ?? systemClock;
  const site: Site = {
    name: options.name ?? "server-1",
    tree: options.tree ?? new FileTree(),
    locks: options.locks ?? new LockTable({ clock }),
    clock,
    basePath: normalizeBasePath(options.basePath ?? "/dav/"),
    lockTimeout: options.lockTimeout ?? 600,
    ...(options.auth === undefined ? {} : { auth: options.auth }),
  };
  const log = new RequestLog(options.logLimit);
  const changes = new Changes();
  let underWay = 0;

  // No time-out of its own: what a test sees is what it asked for.
  const timeouts = { requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: options.keepAliveTimeout ?? 0 };
  const httpServer = createServer(timeouts, (request, response) => {
    underWay += 1;
    void serve(request, response).finally(() => {
      underWay -= 1;
      changes.notify();
    });
  });
  const listener = new Listener({ server: httpServer, port: options.port ?? 0 });
  const connections = new WeakMap<Socket, KeepAlive>();
  const faults = new Switchboard(listener);

  function connectionOf(socket: Socket): KeepAlive {
    const known = connections.get(socket);
    if (known !== undefined) return known;
    const connection = new KeepAlive(socket, clock);
    connections.set(socket, connection);
    return connection;
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A broken connection also shows as an error of these streams; `Exchange` hears of it through "close".
    request.on("error", () => {});
    response.on("error", () => {});
    response.setHeader("x-served-by", site.name);
    const logged = logEntryFor(request, site, listener.numberOf(request.socket));
    const connection = connectionOf(request.socket);
    connection.begin();
    const process = (body: Uint8Array): Answer => applyTo(site, request, body);
    const exchange = new Exchange({
      request,
      response,
      connection,
      logged,
      note: (progress) => log.note(logged, progress),
      clock,
      process,
    });
    log.add(logged);
    try {
      await faults.run(exchange, () => exchange.answer());
    } catch (error) {
      if (error instanceof ClientGone) return;
      // The client must not wait, and the test must hear of it.
      response.destroy();
      throw error;
    }
  }

  await listener.start();
  return {
    name: site.name,
    url: `http://127.0.0.1:${listener.port}${site.basePath}`,
    port: listener.port,
    tree: site.tree,
    locks: site.locks,
    get requests() {
      return log.entries;
    },
    clearRequests: () => log.clear(),
    get connections() {
      return listener.connections;
    },
    get connectionsAccepted() {
      return listener.accepted;
    },
    received: (count = 1, filter = {}) => log.received(count, filter),
    nextRequest: (filter = {}) => log.next(filter),
    idle: async () => {
      await changes.until(() => (underWay === 0 ? true : undefined));
    },
    connected: (count = 1) => listener.connectionsWhere((open) => open >= count),
    disconnected: (count = 0) => listener.connectionsWhere((open) => open <= count),
    inject: (fault) => faults.inject(fault),
    clearFaults: () => faults.clear(),
    stop: () => listener.stop(),
    start: () => listener.start(),
    [Symbol.asyncDispose]: async () => {
      await listener.dispose();
      await faults.clear();
    },
  };
}

function logEntryFor(request: IncomingMessage, site: Site, connection: number): LoggedRequest {
  const target = decodeTarget(request.url ?? "/", site.basePath);
  const slash = target.ok && target.trailingSlash && target.path !== "/" ? "/" : "";
  return {
    method: request.method ?? "GET",
    path: `${target.path}${slash}`,
    headers: request.headers,
    connection,
    status: undefined,
    bodyBytes: 0,
    faults: [],
  };
}

/** A bug of the server answers 500 with its stack, where whoever runs the test will see it. */
function applyTo(site: Site, request: IncomingMessage, body: Uint8Array): Answer {
  try {
    return dispatch(
      { method: request.method ?? "GET", target: request.url ?? "/", headers: request.headers, body },
      site,
    );
  } catch (error) {
    return textAnswer(500, error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}
