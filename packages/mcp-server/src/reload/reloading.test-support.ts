import { openPools, systemClock, type Clock, type Log, type OpenPools, type Pool } from "@davpool/core";
import { createWebDavCluster, type WebDavCluster, type WebDavClusterOptions } from "@davpool/testkit";
import type { WebDavWire } from "@davpool/transport-webdav";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readConfiguration } from "../configuration.ts";
import { temporaryFolder } from "../testing/davpool-process.test-support.ts";
import { Reloader, type AppliedChanges, type ReloaderParts } from "./reloader.ts";

/** Log lines, for reading and for waiting on the next of them. */
export function recordingLog() {
  const lines: { readonly level: keyof Log; readonly message: string }[] = [];
  let read = 0;
  let wake = () => {};
  const write = (level: keyof Log) => (message: string) => {
    lines.push({ level, message });
    wake();
  };
  return {
    lines,
    log: { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") } satisfies Log,
    /** The next line, from where it was last called, that holds `text`. */
    async next(text: string): Promise<string> {
      for (;;) {
        while (read < lines.length) {
          const { message } = lines[read++] as (typeof lines)[number];
          if (message.includes(text)) return message;
        }
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

export interface Reloading extends AsyncDisposable, ReturnType<typeof recordingLog> {
  readonly cluster: WebDavCluster;
  readonly folder: string;
  readonly file: string;
  readonly open: OpenPools;
  readonly reloader: Reloader;
  readonly pool: Pool<WebDavWire>;
  readonly applied: AppliedChanges[];
  /** Servers of the cluster, by number from 1, as the configuration declares them. */
  servers(...numbers: readonly number[]): object[];
  write(config: object): Promise<void>;
}

export interface ReloadingOptions {
  /** The pool `files` of the first configuration. */
  readonly files?: object;
  /** Top-level keys of it. */
  readonly more?: object;
  readonly name?: string;
  readonly cluster?: WebDavClusterOptions;
  readonly clock?: Clock;
  readonly take?: ReloaderParts["applied"];
}

/** Pools over a real cluster from a file in a folder of its own, ready to be reloaded. */
export async function startReloading(options: ReloadingOptions = {}): Promise<Reloading> {
  const parts = new AsyncDisposableStack();
  const folder = parts.use(await temporaryFolder()).path;
  const cluster = parts.use(await createWebDavCluster(options.cluster));
  cluster.tree?.write("/hello.txt", "hello");
  const { clock = systemClock } = options;
  const recording = recordingLog();
  const file = join(folder, options.name ?? "davpool.config.json");
  await mkdir(dirname(file), { recursive: true });
  const servers = (...numbers: readonly number[]) =>
    numbers.map((number) => ({ serverId: `server-${number}`, url: cluster.urls[number - 1] }));
  const before = /\.(ts|js|mjs|mts)$/.test(file) ? "export default " : "";
  const write = (config: object) => writeFile(file, before + JSON.stringify({ store: "memory", ...config }));
  await write({ ...options.more, pools: { files: { transport: "webdav", servers: servers(1, 2), ...options.files } } });
  const source = { file, environment: {} };
  const open = parts.use(await openPools(await readConfiguration(source), { clock, log: recording.log }));
  const applied: AppliedChanges[] = [];
  const reloader = new Reloader({
    source,
    open,
    clock,
    log: recording.log,
    applied(config, changes) {
      applied.push(changes);
      return options.take?.(config, changes);
    },
  });
  return {
    ...recording,
    cluster,
    folder,
    file,
    open,
    reloader,
    applied,
    servers,
    write,
    pool: open.pools.get("files") as Pool<WebDavWire>,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}
