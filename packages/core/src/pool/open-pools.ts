import type { Aggregator } from "../contracts/aggregator.ts";
import type { Clock } from "../contracts/clock.ts";
import type { Log } from "../contracts/log.ts";
import type { Notifier } from "../contracts/notifier.ts";
import type { Pool } from "../contracts/pool.ts";
import type { PluginUse, ResolvedConfig, ResolvedPool } from "../config/resolve-config.ts";
import { profileReader } from "../config/server-profile.ts";
import { describeError } from "../errors/davpool-error.ts";
import type { PluginContext } from "../plugin/define-plugin.ts";
import { Scope, type Services, type Token } from "../plugin/scope.ts";
import {
  AFFINITY,
  CLOCK,
  CREDENTIALS,
  ENVIRONMENT,
  FAILOVER,
  LOG,
  POLICIES,
  POOL,
  PROBE,
  RANDOM,
  SECURITY,
  SELECTOR,
  STORE,
  TRANSPORT,
} from "../plugin/tokens.ts";
import { systemClock } from "../time/system-clock.ts";
import { notifyOf } from "./notices.ts";
import { ServerPool } from "./pool.ts";

export interface OpenOptions {
  readonly clock?: Clock;
  readonly random?: () => number;
  /** Default: nothing is logged. */
  readonly log?: Log;
  /** Default: `process.env`. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Aborting it gives up on the start. */
  readonly signal?: AbortSignal;
}

/** The pools of a configuration, running. Disposing closes all of them and everything they were made of. */
export interface OpenPools extends AsyncDisposable {
  readonly pools: ReadonlyMap<string, Pool>;
  readonly services: Services;
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * Creates every part that a checked configuration names, in a fixed order, one container per pool below one for all,
 * and starts the pools.
 * @throws whatever a plugin refuses to start for; what was open by then is closed again.
 */
export async function openPools(config: ResolvedConfig, options: OpenOptions = {}): Promise<OpenPools> {
  const root = new Scope();
  try {
    root.provide(CLOCK, options.clock ?? systemClock);
    root.provide(RANDOM, options.random ?? Math.random);
    root.provide(LOG, options.log ?? silent);
    root.provide(ENVIRONMENT, options.environment ?? process.env);
    root.provide(SECURITY, config.security);
    const signal = options.signal ?? new AbortController().signal;
    for (const use of config.services) await create(root, use, contextFor(root, config), signal, use.plugin.provides);

    const pools = new Map<string, Pool>();
    for (const settings of config.pools) {
      const scope = root.own(root.child());
      pools.set(settings.name, await openPool(scope, config, settings, signal));
    }
    return { pools, services: root, [Symbol.asyncDispose]: () => root[Symbol.asyncDispose]() };
  } catch (error) {
    try {
      await root[Symbol.asyncDispose]();
    } catch (closing) {
      // Why it could not start is what counts.
      (options.log ?? silent).error("Not everything could be closed after a failed start.", {
        error: describeError(closing),
      });
    }
    throw error;
  }
}

async function openPool(
  scope: Scope,
  config: ResolvedConfig,
  settings: ResolvedPool,
  signal: AbortSignal,
): Promise<Pool> {
  const context = contextFor(scope, config, settings);
  const make = <T>(use: PluginUse, token: Token<T>) => create(scope, use, context, signal, token);
  const transport = await make(settings.transport, TRANSPORT);
  const credentials = await make(settings.credentials, CREDENTIALS);
  const affinity = await make(settings.affinity, AFFINITY);
  const store = await make(settings.store, STORE);
  const selector = await make(settings.strategy, SELECTOR);
  const probe = await make(settings.probe, PROBE);
  const failover = await make(settings.failover, FAILOVER);
  const policies = [];
  for (const use of settings.policies) policies.push(await create(scope, use, context, signal, undefined));
  scope.provide(POLICIES, policies as never);
  const aggregators = new Map<string, Aggregator>();
  for (const plugin of config.registry.list("aggregator"))
    aggregators.set(String(plugin.name), await create(scope, { plugin, options: {} }, context, signal, undefined));

  const pool = new ServerPool({
    settings,
    transport,
    selector,
    probe,
    failover,
    policies: scope.get(POLICIES),
    aggregators,
    store,
    affinity,
    credentials,
    readProfile: profileReader(settings.transport.plugin, settings.serverDefaults),
    clock: context.clock,
    random: context.random,
    log: context.log,
  });
  scope.provide(POOL, pool);
  for (const use of settings.notifiers)
    notifyOf(pool, await create<Notifier>(scope, use, context, signal, undefined), context);
  signal.throwIfAborted();
  await pool.start();
  return pool;
}

async function create<T>(
  scope: Scope,
  { plugin, options }: PluginUse,
  context: PluginContext,
  signal: AbortSignal,
  token: Token<T> | undefined,
): Promise<T> {
  signal.throwIfAborted();
  const instance = plugin.create(context, options) as T;
  if (token) scope.provide(token, instance);
  else scope.own(instance);
  await plugin.start?.(instance, signal);
  return instance;
}

function contextFor(scope: Scope, config: ResolvedConfig, settings?: ResolvedPool): PluginContext {
  return {
    pool: settings?.name ?? "",
    primary: settings?.primary ?? false,
    clock: scope.get(CLOCK),
    random: scope.get(RANDOM),
    log: scope.get(LOG),
    services: scope,
    baseDirectory: config.baseDirectory,
  };
}
