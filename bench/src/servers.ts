import { fork } from "node:child_process";
import { once } from "node:events";
import { createWebDavCluster } from "@davpool/testkit";

/** WebDAV servers in a process of their own, so that the client's processor time is the client's alone. */
export interface ServerProcess extends AsyncDisposable {
  readonly urls: readonly string[];
}

export const FILE = "/file.bin";

/** @param size bytes of the file that every server holds. */
export async function startServers(servers: number, size: number): Promise<ServerProcess> {
  const child = fork(new URL(import.meta.url), [String(servers), String(size)], { execArgv: [] });
  const [urls] = (await once(child, "message")) as [readonly string[]];
  return {
    urls,
    [Symbol.asyncDispose]: async () => {
      const gone = once(child, "exit");
      child.disconnect();
      await gone;
    },
  };
}

if (process.send && process.argv[1] === new URL(import.meta.url).pathname) {
  const [servers, size] = process.argv.slice(2).map(Number) as [number, number];
  const cluster = await createWebDavCluster({ servers, logLimit: 1 });
  cluster.tree?.write(FILE, new Uint8Array(size).fill(0x61), { contentType: "application/octet-stream" });
  process.send(cluster.urls);
  process.once("disconnect", () => void cluster[Symbol.asyncDispose]());
}
