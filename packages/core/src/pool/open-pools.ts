import type { Clock } from "../contracts/clock.ts";
import type { Log } from "../contracts/log.ts";
import type { Pool } from "../contracts/pool.ts";
import type { PoolChanges } from "../config/compare-configs.ts";
import type { ResolvedConfig } from "../config/resolve-config.ts";
import { describeError } from "../errors/davpool-error.ts";
import { Scope, type Services, type Token } from "../plugin/scope.ts";
import { CLOCK, ENVIRONMENT, LOG, RANDOM } from "../plugin/tokens.ts";
import { systemClock } from "../time/system-clock.ts";
import { RunningPools } from "./running-pools.ts";

export interface OpenOptions {
  readonly clock?: Clock;
  readonly random?: () => number;
  /** Default: nothing is logged. */
  readonly log?: Log;
  /** Default: `process.env`. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Aborting it gives up on the start. */
  readonly signal?: AbortSignal;
  /** Gives plugins what only the program has, under tokens that they know. */
  readonly provide?: (services: Provider) => void;
}

/** Where a program leaves instances for plugins to find. */
export interface Provider {
  provide<T>(token: Token<T>, instance: T): void;
}

/** The pools of a configuration, running. Disposing closes all of them and everything they were made of. */
export interface OpenPools extends AsyncDisposable {
  /** By name, in the order of the configuration in use. A pool stays the same object for as long as it is configured. */
  readonly pools: ReadonlyMap<string, Pool>;
  /** What service plugins of the configuration in use provide. */
  readonly services: Services;
  /** The configuration in use. */
  readonly config: ResolvedConfig;

  /**
   * Goes over to another configuration without dropping a call: all of it, or nothing.
   *
   * A pool that only has other servers changes them in place. One with other settings gets a new engine; calls that have
   * begun end in the old one, by their own deadlines, and everything learned goes along: health, counters, owners of
   * locks, added servers, and latencies where the strategy is the same. Pools that are gone end their calls and refuse
   * new ones. Several changes are made one after the other.
   *
   * @throws what a plugin refuses to start for, or a server is refused for; the configuration in use is then the same.
   * @throws PoolsClosedError
   */
  apply(config: ResolvedConfig): Promise<PoolChanges>;
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * Creates every part that a checked configuration names, in a fixed order, one container per pool below one for all,
 * and starts the pools.
 * @throws whatever a plugin refuses to start for; what was open by then is closed again.
 */
export async function openPools(config: ResolvedConfig, options: OpenOptions = {}): Promise<OpenPools> {
  const root = new Scope();
  const log = options.log ?? silent;
  root.provide(CLOCK, options.clock ?? systemClock);
  root.provide(RANDOM, options.random ?? Math.random);
  root.provide(LOG, log);
  root.provide(ENVIRONMENT, options.environment ?? process.env);
  options.provide?.(root);
  try {
    return await RunningPools.open(root, config, options.signal ?? new AbortController().signal);
  } catch (error) {
    await root[Symbol.asyncDispose]().catch((closing: unknown) => {
      // Why it could not start is what counts.
      log.error("Not everything could be closed after a failed start.", { error: describeError(closing) });
    });
    throw error;
  }
}
