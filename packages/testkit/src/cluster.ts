import { systemClock } from "./clock.ts";
import { LockTable } from "./locks.ts";
import { createWebDavServer } from "./server.ts";
import type { WebDavServer, WebDavServerOptions } from "./server.ts";
import { FileTree } from "./tree.ts";

export interface WebDavClusterOptions extends Omit<WebDavServerOptions, "name" | "port" | "tree" | "locks"> {
  /** How many. Default 3. */
  readonly servers?: number;
  /**
   * `shared`: all servers show the same files, as replicas over shared storage do. `separate`: each has its own.
   * Default `shared`.
   */
  readonly tree?: "shared" | "separate";
  /**
   * `per-server`: a lock is known to the server that granted it and to no other, as with real replicas over shared
   * storage. `shared`: one lock database for all. Default `per-server`.
   */
  readonly locks?: "shared" | "per-server";
}

export interface WebDavCluster extends AsyncDisposable {
  /** Named `server-1`, `server-2`, … in this order. */
  readonly servers: readonly WebDavServer[];
  readonly urls: readonly string[];
  /** The tree of all servers, or undefined when they have separate ones. */
  readonly tree: FileTree | undefined;
  /** Switches all faults of all servers off. */
  clearFaults(): Promise<void>;
  /** Empties all request logs. */
  clearRequests(): void;
}

/**
 * Starts several WebDAV servers.
 *
 * ```ts
 * await using cluster = await createWebDavCluster({ servers: 3 });
 * const [first] = cluster.servers;
 * await first?.stop();
 * ```
 */
export async function createWebDavCluster(options: WebDavClusterOptions = {}): Promise<WebDavCluster> {
  const { servers: count = 3, tree: treeKind = "shared", locks: lockKind = "per-server", ...common } = options;
  const tree = treeKind === "shared" ? new FileTree() : undefined;
  const shared = {
    ...(tree === undefined ? {} : { tree }),
    ...(lockKind === "shared" ? { locks: new LockTable({ clock: options.clock ?? systemClock }) } : {}),
  };
  const servers = await startAll(
    Array.from({ length: count }, (_, index) => ({ ...common, ...shared, name: `server-${index + 1}` })),
  );
  return {
    servers,
    urls: servers.map((server) => server.url),
    tree,
    clearFaults: async () => {
      await Promise.all(servers.map((server) => server.clearFaults()));
    },
    clearRequests: () => {
      for (const server of servers) server.clearRequests();
    },
    [Symbol.asyncDispose]: () => stopAll(servers),
  };
}

async function startAll(options: readonly WebDavServerOptions[]): Promise<WebDavServer[]> {
  const started = await Promise.allSettled(options.map((each) => createWebDavServer(each)));
  const failure = started.find((result) => result.status === "rejected");
  const servers = started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  if (failure === undefined) return servers;
  await stopAll(servers);
  throw failure.reason;
}

async function stopAll(servers: readonly WebDavServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
}
