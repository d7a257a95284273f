import type { Notice, Notifier } from "../contracts/notifier.ts";
import type { Pool } from "../contracts/pool.ts";
import type { PluginContext } from "../plugin/define-plugin.ts";

/**
 * Turns a pool's events into notices for one notifier, until it is disposed of. The pool logs it when the notifier
 * throws.
 */
export function notifyOf(pool: Pool, notifier: Notifier, { clock }: PluginContext): Disposable {
  const tell = (notice: Omit<Notice, "pool" | "at">) =>
    notifier.notify({ ...notice, pool: pool.name, at: clock.wall().toISOString() });

  const listening = [
    ...(["server-degraded", "server-unhealthy", "server-ejected"] as const).map((kind) =>
      pool.on(kind, ({ serverId, reason }) => tell({ kind, serverId, ...(reason !== undefined && { reason }) })),
    ),
    pool.on("recovered", ({ serverId }) => tell({ kind: "recovered", serverId })),
    pool.on("all-down", ({ servers }) =>
      tell({ kind: "all-down", reason: `no server is usable: ${servers.join(", ")}` }),
    ),
    pool.on("failover", ({ from, to, failure }) =>
      tell({ kind: "failover", serverId: from, to, reason: failure.message }),
    ),
  ];
  return {
    [Symbol.dispose]() {
      for (const one of listening) one[Symbol.dispose]();
    },
  };
}
