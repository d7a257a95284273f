import { openPools, resolveConfig, type Pool } from "@davpool/core";
import { builtIns } from "@davpool/mcp-server";
import type { WebDavWire } from "@davpool/transport-webdav";

export type DavPool = Pool<WebDavWire>;

/**
 * Opens one pool of WebDAV servers, as `davpool serve` does.
 * @param settings of the pool, as in a configuration file; the transport is `webdav` unless they say otherwise.
 */
export async function openDavPool(settings: {
  readonly servers: readonly object[];
  readonly [field: string]: unknown;
}): Promise<{ readonly pool: DavPool } & AsyncDisposable> {
  const config = await resolveConfig(
    { store: "memory", pools: { files: { transport: "webdav", ...settings } } },
    { baseDirectory: process.cwd(), plugins: builtIns },
  );
  const open = await openPools(config);
  return {
    pool: open.pools.get("files") as DavPool,
    [Symbol.asyncDispose]: () => open[Symbol.asyncDispose](),
  };
}

/** Reads a body inside its attempt; what it resolves to is its size and its status. */
export async function consumeSize({
  status,
  body,
}: WebDavWire["response"]): Promise<{ readonly status: number; readonly size: number }> {
  return { status, size: (await body.read()).bytes.byteLength };
}
