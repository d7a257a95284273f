import { openPools, resolveConfig, type OpenPools, type Pool } from "@davpool/core";
import type { WebDavWire } from "@davpool/transport-webdav";
import { builtIns } from "../../built-ins.ts";

export interface OpenPool extends AsyncDisposable {
  readonly pool: Pool<WebDavWire>;
}

/** A pool called `files` of WebDAV servers, as a configuration file would make it. */
export async function openPool(
  servers: readonly { readonly serverId: string; readonly url: string; readonly [field: string]: unknown }[],
  settings: object = {},
): Promise<OpenPool> {
  const files = { transport: "webdav", strategy: "round-robin", servers, health: { enabled: false }, ...settings };
  const config = await resolveConfig(
    { store: "memory", pools: { files } },
    { baseDirectory: import.meta.dirname, plugins: builtIns, importPlugin: () => Promise.reject(new Error("none")) },
  );
  const open: OpenPools = await openPools(config);
  const pool = open.pools.get("files") as Pool<WebDavWire>;
  return { pool, [Symbol.asyncDispose]: () => open[Symbol.asyncDispose]() };
}
