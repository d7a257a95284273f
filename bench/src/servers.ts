import { fork } from "node:child_process";
import { once } from "node:events";
import { createWebDavCluster, type RequestFault } from "@davpool/testkit";

/** WebDAV servers in a process of their own, so that the client's processor time is the client's alone. */
export interface ServerProcess extends AsyncDisposable {
  readonly urls: readonly string[];
}

export interface ServerProcessOptions {
  /** Bytes of {@link FILE}, which every server holds. */
  readonly size: number;
  /** The faults of each server; as many servers as there are lists. */
  readonly faults: readonly (readonly RequestFault[])[];
}

export const FILE = "/file.bin";

export async function startServers(options: ServerProcessOptions): Promise<ServerProcess> {
  const child = fork(new URL(import.meta.url), [JSON.stringify(options)], { execArgv: [] });
  const gone = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const ended = gone.then(() => {
    throw new Error("The process of the servers ended before they were ready.");
  });
  const [urls] = (await Promise.race([once(child, "message"), ended])) as [readonly string[]];
  // From now on it ends when it is told to.
  ended.catch(() => {});
  return {
    urls,
    [Symbol.asyncDispose]: async () => {
      if (child.connected) child.disconnect();
      await gone;
    },
  };
}

if (process.send && process.argv[1] === new URL(import.meta.url).pathname) {
  // Ctrl-C reaches this process too; it ends with the one that has started it.
  process.on("SIGINT", () => {});
  const { size, faults } = JSON.parse(process.argv[2] ?? "{}") as ServerProcessOptions;
  const cluster = await createWebDavCluster({ servers: faults.length, logLimit: 1 });
  cluster.tree?.write(FILE, new Uint8Array(size).fill(0x61), { contentType: "application/octet-stream" });
  for (const [index, server] of cluster.servers.entries())
    for (const fault of faults[index] ?? []) await server.inject(fault);
  process.once("disconnect", () => void cluster[Symbol.asyncDispose]());
  process.send(cluster.urls);
}
