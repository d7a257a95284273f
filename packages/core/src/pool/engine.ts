import type { AffinityStore } from "../contracts/affinity-store.ts";
import type { Aggregator } from "../contracts/aggregator.ts";
import type { Notifier } from "../contracts/notifier.ts";
import type { Policy } from "../contracts/policy.ts";
import type { ProfileStore } from "../contracts/profile-store.ts";
import type { Selector } from "../contracts/selector.ts";
import { sameUse } from "../config/compare-configs.ts";
import type { PluginUse, ResolvedConfig, ResolvedPool } from "../config/resolve-config.ts";
import { profileReader } from "../config/server-profile.ts";
import type { PluginContext } from "../plugin/define-plugin.ts";
import type { Scope, Services, Token } from "../plugin/scope.ts";
import { Shared } from "../plugin/shared.ts";
import {
  AFFINITY,
  CREDENTIALS,
  FAILOVER,
  LOG,
  POLICIES,
  POOL,
  PROBE,
  SELECTOR,
  STORE,
  TRANSPORT,
} from "../plugin/tokens.ts";
import { closing, contextFor, createPart, make, start } from "./create-part.ts";
import { notifyOf } from "./notices.ts";
import { partNames } from "./part-names.ts";
import type { NamedPolicy } from "./policies.ts";
import { poolLog } from "./pool-log.ts";
import { ServerPool } from "./pool.ts";
import { ReplaceablePool } from "./replaceable-pool.ts";
import type { ServiceLayer } from "./service-layer.ts";

/** A part that keeps what it has learned when the next engine of its pool needs the same. */
interface Kept<T> {
  readonly use: PluginUse;
  readonly shared: Shared<T>;
  /** What it was created upon, if it asked for one of the services there: it must not outlive them. */
  readonly layer: ServiceLayer | undefined;
}

/** What one engine hands on to the next. */
interface KeptParts {
  readonly affinity: Kept<AffinityStore>;
  readonly store: Kept<ProfileStore>;
  readonly selector: Kept<Selector>;
}

export interface EngineInit {
  readonly layer: ServiceLayer;
  readonly config: ResolvedConfig;
  readonly settings: ResolvedPool;
  /** The engine whose place this one is to take. */
  readonly former?: Engine | undefined;
}

/** A pool's engine and everything it was made of. */
export class Engine implements AsyncDisposable {
  /** What the world sees of the pool, whichever engine runs it. */
  readonly front: ReplaceablePool;
  readonly pool: ServerPool;
  readonly #init: Omit<EngineInit, "former">;
  /** Until its place is taken. */
  #former: Engine | undefined;
  readonly #scope: Scope;
  readonly #kept: KeptParts;
  readonly #notifiers: readonly Notifier[];
  #listening: readonly Disposable[] = [];

  private constructor(
    { former, ...init }: EngineInit,
    scope: Scope,
    front: ReplaceablePool,
    pool: ServerPool,
    kept: KeptParts,
    notifiers: readonly Notifier[],
  ) {
    this.#init = init;
    this.#former = former;
    this.#scope = scope;
    this.front = front;
    this.pool = pool;
    this.#kept = kept;
    this.#notifiers = notifiers;
  }

  /**
   * Creates every part of a pool in a fixed order and starts it. Affinity, profile store and strategy are those of the
   * former engine where the configuration wants the same: they know what the configuration does not say.
   * @param scope owned by the caller, who disposes of it when this fails, and of the engine when it does not.
   */
  static async open(init: EngineInit, scope: Scope, signal: AbortSignal): Promise<Engine> {
    const { config, settings, former, layer } = init;
    scope.lend(LOG, poolLog(scope.get(LOG), settings.name));
    const context = contextFor(scope, config, settings);
    const part = <T>(use: PluginUse, token: Token<T> | undefined) => createPart(scope, use, context, signal, token);
    const keep = async <T>(use: PluginUse, token: Token<T>, known: Kept<T> | undefined): Promise<Kept<T>> => {
      signal.throwIfAborted();
      const kept = known ?? createKept<T>(use, context, layer);
      // What it was created upon goes last.
      if (kept.layer) scope.own(kept.layer.lease());
      scope.own(kept.shared.lease());
      scope.lend(token, kept.shared.value);
      if (!known) await start(use, kept.shared.value, context, signal);
      return kept;
    };
    const known = former ? former.#partsFor(init) : undefined;

    const transport = await part(settings.transport, TRANSPORT);
    const credentials = await part(settings.credentials, CREDENTIALS);
    const affinity = await keep(settings.affinity, AFFINITY, known?.affinity);
    const store = await keep(settings.store, STORE, known?.store);
    const selector = await keep(settings.strategy, SELECTOR, known?.selector);
    const probe = await part(settings.probe, PROBE);
    const failover = await part(settings.failover, FAILOVER);
    const policies: NamedPolicy[] = [];
    for (const use of settings.policies)
      policies.push({ name: String(use.plugin.name), policy: await part<Policy>(use, undefined) });
    scope.provide(
      POLICIES,
      policies.map(({ policy }) => policy),
    );
    const aggregators = new Map<string, Aggregator>();
    for (const plugin of config.registry.list("aggregator"))
      aggregators.set(String(plugin.name), await part<Aggregator>({ plugin, options: {} }, undefined));

    const pool = new ServerPool({
      settings,
      transport,
      selector: selector.shared.value,
      probe,
      failover,
      policies,
      aggregators,
      store: store.shared.value,
      affinity: affinity.shared.value,
      credentials,
      names: partNames(settings),
      readProfile: profileReader(settings.transport.plugin, settings.serverDefaults),
      clock: context.clock,
      random: context.random,
      log: context.log,
      counters: former?.pool.counters,
    });
    scope.own(pool);
    const front = former?.front ?? new ReplaceablePool(pool, context.log);
    scope.lend(POOL, front);
    const notifiers: Notifier[] = [];
    for (const use of settings.notifiers) notifiers.push(await part<Notifier>(use, undefined));
    const engine = new Engine(init, scope, front, pool, { affinity, store, selector }, notifiers);
    if (!former) engine.#listen();
    signal.throwIfAborted();
    await pool.start(former?.pool);
    return engine;
  }

  /** Runs the pool from now on, in place of the engine that it was made for. Neither waits nor fails. */
  takeOver(): void {
    const former = this.#former;
    if (!former) return;
    this.#former = undefined;
    for (const one of former.#listening) one[Symbol.dispose]();
    this.front.replace(this.pool);
    this.#listen();
  }

  /** Lets every call end by its own deadline, and every body that flows, before it closes. */
  async drain(): Promise<void> {
    await this.front.retire(this.pool);
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
  }

  /** What the next engine may have. */
  #partsFor({ config, settings }: EngineInit): Partial<KeptParts> {
    const { config: before, settings: own } = this.#init;
    const { affinity, store, selector } = this.#kept;
    // A store keeps state by where the configuration lies, by whether its pool is the first, and by what its transport
    // calls secret.
    const sameState =
      before.baseDirectory === config.baseDirectory &&
      own.primary === settings.primary &&
      own.transport.plugin === settings.transport.plugin;
    return {
      ...(sameUse(affinity.use, settings.affinity) && { affinity }),
      ...(sameState && sameUse(store.use, settings.store) && { store }),
      ...(sameUse(selector.use, settings.strategy) && { selector }),
    };
  }

  #listen(): void {
    const { config, settings } = this.#init;
    const context = contextFor(this.#scope, config, settings);
    this.#listening = this.#notifiers.map((notifier, index) =>
      notifyOf(this.front, notifier, String(settings.notifiers[index]?.plugin.name), context),
    );
  }
}

function createKept<T>(use: PluginUse, context: PluginContext, layer: ServiceLayer): Kept<T> {
  let asked = false;
  const services: Services = {
    get(token) {
      asked ||= layer.offers(token);
      return context.services.get(token);
    },
    has: (token) => context.services.has(token),
    all(token) {
      asked ||= layer.offers(token);
      return context.services.all(token);
    },
  };
  const value = make(use, { ...context, services }) as T;
  const shared = new Shared(value, closing(use, value, context));
  return { use, shared, layer: asked ? layer : undefined };
}
