import {
  corePlugins,
  createManualClock,
  openPools,
  resolveConfig,
  type ManualClock,
  type OpenOptions,
  type Pool,
} from "@davpool/core";
import { memoryStore } from "@davpool/store-memory";
import { leastConnections } from "@davpool/strategy-least-connections";
import { random } from "@davpool/strategy-random";
import { responseTime } from "@davpool/strategy-response-time";
import { roundRobin } from "@davpool/strategy-round-robin";
import { webdav } from "../plugin.ts";
import type { WebDavWire } from "../wire.ts";

export interface OpenPool extends AsyncDisposable {
  readonly pool: Pool<WebDavWire>;
  readonly clock: ManualClock;
}

/** Milliseconds an attempt may take in these pools. */
export const TIMEOUT = 1_000;

/**
 * A pool named `files` of servers `s1`, `s2` … as a configuration makes it. The first is preferred while it is well.
 * Time stands still, nothing is checked, and what is tried again is tried at once.
 */
export async function openPool(
  urls: readonly string[],
  settings: Readonly<Record<string, unknown>> = {},
  security: Readonly<Record<string, unknown>> = {},
  options: Pick<OpenOptions, "environment" | "log"> = {},
): Promise<OpenPool> {
  const config = await resolveConfig(
    {
      store: "memory",
      security,
      pools: {
        files: {
          transport: "webdav",
          failover: { type: "default", backoff: 0 },
          health: { enabled: false },
          serverDefaults: { timeout: TIMEOUT, retryAttempts: 2 },
          servers: urls.map((url, index) => ({ serverId: `s${index + 1}`, url, priority: index === 0 ? 1 : 2 })),
          ...settings,
        },
      },
    },
    {
      baseDirectory: "/",
      plugins: [...corePlugins, webdav, memoryStore, roundRobin, random, leastConnections, responseTime],
    },
  );
  const clock = createManualClock();
  const open = await openPools(config, { clock, random: () => 0.5, ...options });
  return {
    pool: open.pools.get("files") as Pool<WebDavWire>,
    clock,
    [Symbol.asyncDispose]: () => open[Symbol.asyncDispose](),
  };
}
