import type { Notice, Notifier } from "../contracts/notifier.ts";
import type { Pool } from "../contracts/pool.ts";
import { describeError } from "../errors/davpool-error.ts";
import type { PluginContext } from "../plugin/define-plugin.ts";

/** Turns a pool's events into notices for one notifier, until it is disposed of. One that throws is logged by its name. */
export function notifyOf(pool: Pool, notifier: Notifier, name: string, { clock, log }: PluginContext): Disposable {
  const tell = (notice: Omit<Notice, "pool" | "at">) => {
    const failed = (error: unknown) =>
      log.error(`The notifier "${name}" failed.`, { event: notice.kind, error: describeError(error) });
    try {
      const told: unknown = notifier.notify({ ...notice, pool: pool.name, at: clock.wall().toISOString() });
      // An async function is a notifier to the types.
      if (told instanceof Promise) told.catch(failed);
    } catch (error) {
      failed(error);
    }
  };

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
