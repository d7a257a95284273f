import { corePlugins, resolveConfig, type AnyPlugin, type ResolvedConfig } from "@davpool/core";
import type { McpHost } from "../host.ts";
import { mcp } from "../plugin.ts";
import { inTurn } from "./in-turn.ts";
import { noStore } from "./no-store.ts";
import type { McpServerInput, McpServerPoolOptions } from "./options.ts";
import { patientProbe } from "./patient-probe.ts";
import { pluginsOf } from "./strategy.ts";

/** Defaults that are not core's: those of client pools. */
export const DEFAULTS = {
  name: "mcp",
  strategy: "round-robin",
  healthCheckInterval: 30_000,
  offlineThreshold: 3,
  reconnectDelay: 2_000,
  timeout: 10_000,
  deadline: 50_000,
  listMaxAge: 60_000,
} as const;

/** Something that a server said outside of requests. */
export interface Said {
  readonly serverId: string;
  readonly method: string;
  readonly params?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * The configuration that the options stand for, checked as one from a file would be.
 * @param giveUp told of servers that have been offline for as long as the options allow.
 * @throws ConfigError
 */
export async function configurationOf(
  options: McpServerPoolOptions,
  giveUp: (serverId: string, error: unknown) => void,
): Promise<ResolvedConfig> {
  const given = { ...DEFAULTS, ...written(options) };
  const { strategy, plugins = [], baseDirectory = process.cwd(), reconnectAttempts = Infinity } = given;
  const finite = reconnectAttempts !== Infinity;
  const probe = patientProbe({ ...given, reconnectAttempts, giveUp });
  const own: readonly AnyPlugin[] = [mcp, noStore, inTurn];
  const queued = Math.max(given.deadline, given.queue?.taskTimeout ?? 0);
  return resolveConfig(
    {
      store: noStore,
      security: { allowCleartext: given.allowCleartext ?? false },
      pools: {
        [given.name]: {
          transport: written({
            type: "mcp",
            startTimeout: given.startTimeout,
            connectTimeout: given.connectTimeout,
            backoff: given.reconnectDelay,
          }),
          strategy,
          ...(finite && { probe }),
          ...(given.policies && { policies: given.policies }),
          failover: written({
            type: "default",
            enabled: given.failover ?? true,
            fallbackOrder: given.fallbackOrder,
          }),
          health: written({
            failures: given.offlineThreshold,
            successes: given.recoveryThreshold,
            timeout: given.healthCheckTimeout,
            recoveryInterval: given.reconnectDelay,
          }),
          // Whoever waits for a slot has as long as the request itself: the work queue bounds how many do.
          limits: {
            queue: { size: 100_000, timeout: queued },
            // All servers at the same time: what one of them can take, its maxConnections says.
            broadcastConcurrency: 1_000,
          },
          deadline: given.deadline,
          tiers: given.tiers ?? false,
          serverDefaults: written({
            timeout: given.timeout,
            retryAttempts: given.maxRetries,
            healthCheckInterval: seconds(given.healthCheckInterval),
            maxConnections: given.maxConnections,
          }),
          servers: (given.servers ?? []).map(profileOf),
        },
      },
    },
    {
      baseDirectory,
      plugins: [...corePlugins, ...own, ...(await pluginsOf(strategy, plugins, baseDirectory)), ...plugins],
    },
  );
}

/** Servers are told that nobody can be asked anything, and heard. */
export function listeningHost(heard: (said: Said) => void): McpHost {
  return {
    client: ({ serverId }) => ({
      capabilities: {},
      notified: (method, params) => heard({ serverId, method, params }),
    }),
  };
}

/** A server as configurations write it: there the time between health checks is in seconds. */
export function profileOf(server: McpServerInput): McpServerInput {
  const { healthCheckInterval, ...profile } = written(server);
  return healthCheckInterval === undefined
    ? profile
    : { ...profile, healthCheckInterval: seconds(healthCheckInterval) };
}

function seconds(milliseconds: number): number {
  return milliseconds / 1_000;
}

/** Without what is undefined: an option that was left out. */
function written<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}
