import type { Log } from "../contracts/log.ts";
import type { Pool } from "../contracts/pool.ts";
import { comparePools, type PoolChanges } from "../config/compare-configs.ts";
import type { ResolvedConfig, ResolvedPool } from "../config/resolve-config.ts";
import { PoolsClosedError } from "../errors/call-errors.ts";
import { describeError } from "../errors/davpool-error.ts";
import { Scope, type Services } from "../plugin/scope.ts";
import { LOG } from "../plugin/tokens.ts";
import { Engine } from "./engine.ts";
import type { PreparedChange } from "./membership.ts";
import type { OpenPools } from "./open-pools.ts";
import { ServiceLayer } from "./service-layer.ts";

/** Everything that a configuration needs and that is not there yet, ready and not in use. */
interface Prepared {
  readonly layer: { readonly services: ServiceLayer; readonly lease: AsyncDisposable };
  readonly engines: ReadonlyMap<string, Engine>;
  readonly updates: readonly { readonly engine: Engine; readonly change: PreparedChange }[];
}

/** The pools in use, and how they go over to another configuration. */
export class RunningPools implements OpenPools {
  readonly pools = new Map<string, Pool>();
  readonly services: Services;
  readonly #root: Scope;
  readonly #log: Log;
  readonly #engines = new Map<string, Engine>();
  /** Engines that end the calls they have begun. */
  readonly #draining = new Map<Engine, Promise<void>>();
  readonly #closing = new AbortController();
  #config: ResolvedConfig | undefined;
  #layer: Prepared["layer"] | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #closed: Promise<void> | undefined;

  private constructor(root: Scope) {
    this.#root = root;
    this.#log = root.get(LOG);
    this.services = {
      get: (token) => this.#scope.get(token),
      has: (token) => this.#scope.has(token),
      all: (token) => this.#scope.all(token),
    };
  }

  /** @param root belongs to the result, unless this fails. */
  static async open(root: Scope, config: ResolvedConfig, signal: AbortSignal): Promise<RunningPools> {
    const running = new RunningPools(root);
    await running.#apply(config, signal);
    return running;
  }

  get config(): ResolvedConfig {
    return this.#config as ResolvedConfig;
  }

  get #scope(): Scope {
    return this.#layer?.services.scope ?? this.#root;
  }

  apply(config: ResolvedConfig): Promise<PoolChanges> {
    const result = this.#turn.then(() => this.#apply(config, this.#closing.signal));
    this.#turn = result.catch(() => undefined);
    return result;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #apply(config: ResolvedConfig, signal: AbortSignal): Promise<PoolChanges> {
    signal.throwIfAborted();
    const changes = this.#changes(config);
    // What must be undone, or let go of, however this ends; newest first.
    const undo = new Scope();
    const holds = new Scope();
    try {
      for (const name of [...changes.replaced, ...changes.updated])
        holds.own(await (this.#engines.get(name) as Engine).front.hold());
      const prepared = await this.#prepare(config, changes, undo, signal);
      signal.throwIfAborted();
      this.#switch(config, changes, prepared);
    } catch (error) {
      await undo[Symbol.asyncDispose]().catch((closing: unknown) => {
        // Why it could not be done is what counts.
        const what = this.#config ? "change of the configuration" : "start";
        this.#log.error(`Not everything could be closed after a failed ${what}.`, { error: describeError(closing) });
      });
      throw error;
    } finally {
      await holds[Symbol.asyncDispose]();
    }
    return changes;
  }

  /** A pool that somebody has closed stays closed. */
  #changes(config: ResolvedConfig): PoolChanges {
    const changes = comparePools(this.#config, config);
    const open = (name: string) => this.#engines.get(name)?.front.closed === false;
    return { ...changes, replaced: changes.replaced.filter(open), updated: changes.updated.filter(open) };
  }

  /** Everything that takes time or may fail. */
  async #prepare(config: ResolvedConfig, changes: PoolChanges, undo: Scope, signal: AbortSignal): Promise<Prepared> {
    let layer = this.#layer;
    if (!layer?.services.serves(config)) {
      const services = new ServiceLayer(this.#root, config);
      layer = { services, lease: undo.own(services.lease()) };
      await services.start(signal);
    }
    const engines = new Map<string, Engine>();
    const fresh = new Set([...changes.added, ...changes.replaced]);
    for (const settings of config.pools) {
      if (!fresh.has(settings.name)) continue;
      const scope = undo.own(layer.services.scope.child());
      scope.own(layer.services.lease());
      const former = this.#engines.get(settings.name);
      engines.set(settings.name, await Engine.open({ layer: layer.services, config, settings, former }, scope, signal));
    }
    const declared = new Map(config.pools.map((pool) => [pool.name, pool.servers]));
    const updates: Prepared["updates"][number][] = [];
    for (const name of changes.updated) {
      const engine = this.#engines.get(name) as Engine;
      const change = await engine.pool.prepare(declared.get(name) as ResolvedPool["servers"]);
      updates.push({ engine, change: undo.own(change) });
    }
    return { layer, engines, updates };
  }

  /** Neither waits nor fails, so that no call sees one half of it. */
  #switch(config: ResolvedConfig, changes: PoolChanges, { layer, engines, updates }: Prepared): void {
    this.#config = config;
    // Somebody may have closed a pool meanwhile.
    for (const { engine, change } of updates) {
      if (engine.front.closed) change[Symbol.dispose]();
      else change.commit();
    }
    for (const [name, engine] of engines) {
      const former = this.#engines.get(name);
      if (engine.front.closed) {
        this.#drain(engine);
        continue;
      }
      engine.takeOver();
      this.#engines.set(name, engine);
      if (former) this.#drain(former);
    }
    for (const name of changes.removed) {
      const former = this.#engines.get(name) as Engine;
      this.#engines.delete(name);
      this.#drain(former);
    }
    this.pools.clear();
    for (const { name } of config.pools) this.pools.set(name, (this.#engines.get(name) as Engine).front);
    const outdated = this.#layer;
    this.#layer = layer;
    if (outdated && outdated !== layer) void closed(outdated.lease).catch(this.#notClosed);
  }

  #drain(engine: Engine): void {
    const drained = engine
      .drain()
      .catch(this.#notClosed)
      .finally(() => this.#draining.delete(engine));
    this.#draining.set(engine, drained);
  }

  readonly #notClosed = (error: unknown): void => {
    this.#log.error("Not everything of an earlier configuration could be closed.", { error: describeError(error) });
  };

  async #close(): Promise<void> {
    this.#closing.abort(new PoolsClosedError());
    await this.#turn;
    const everything = new Scope();
    everything.own(this.#root);
    if (this.#layer) everything.own(this.#layer.lease);
    for (const { name } of this.config.pools) everything.own(this.#engines.get(name));
    const drained = Promise.all(this.#draining.values());
    everything.own({ [Symbol.asyncDispose]: () => drained });
    // All of them at once, also those that would have let their calls take longer.
    for (const engine of [...this.#engines.values(), ...this.#draining.keys()]) void engine.pool.close();
    await everything[Symbol.asyncDispose]();
  }
}

async function closed(part: AsyncDisposable): Promise<void> {
  await part[Symbol.asyncDispose]();
}
