import { isDeepStrictEqual } from "node:util";
import type { Aggregate, Quorum } from "../contracts/aggregator.ts";
import type { Log } from "../contracts/log.ts";
import type {
  ActiveServerChange,
  Answer,
  BroadcastOptions,
  CallOptions,
  ChangeOptions,
  Consume,
  Pool,
  PoolEvents,
  PoolStats,
  ProfileInput,
  RemovedServer,
  ServerStatus,
  UpdatedServer,
} from "../contracts/pool.ts";
import type { Caller, Wire } from "../contracts/wire.ts";
import { PoolClosedError } from "../errors/call-errors.ts";
import { EventChannel } from "./events.ts";
import type { ServerPool } from "./pool.ts";

const EVENTS = Object.keys({
  "server-healthy": true,
  "server-degraded": true,
  "server-unhealthy": true,
  "server-ejected": true,
  recovered: true,
  failover: true,
  "all-down": true,
  "servers-changed": true,
  "active-changed": true,
} satisfies Record<keyof PoolEvents, true>) as (keyof PoolEvents)[];

/**
 * What callers hold of a pool: it stays the same while engines take each other's place behind it. Each call goes to the
 * engine that is there when it begins, and ends there.
 */
export class ReplaceablePool<W extends Wire = Wire> implements Pool<W> {
  readonly name: string;
  readonly #events: EventChannel;
  #engine: ServerPool<W>;
  /** Engines that only end what they had begun. */
  readonly #retired = new Set<ServerPool<W>>();
  #forwarding: ReadonlyMap<keyof PoolEvents, Disposable>;
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(engine: ServerPool<W>, log: Log) {
    this.name = engine.name;
    this.#engine = engine;
    this.#events = new EventChannel(log);
    this.#forwarding = this.#forward(engine);
  }

  /** Somebody closed it, or its configuration is gone. */
  get closed(): boolean {
    return this.#closed;
  }

  execute(request: W["request"], options?: CallOptions): Promise<Answer<W["response"]>>;
  execute<T>(request: W["request"], options: CallOptions & { consume: Consume<W, T> }): Promise<Answer<T>>;
  execute<T>(request: W["request"], options?: CallOptions & { consume?: Consume<W, T> }): Promise<Answer<T>> {
    return this.#engine.execute<T>(request, options as CallOptions & { consume: Consume<W, T> });
  }

  broadcast<T>(
    request: W["request"],
    options: BroadcastOptions<W, T>,
  ): Promise<Aggregate<T> & { readonly quorum?: Quorum }> {
    return this.#engine.broadcast(request, options);
  }

  add(profile: ProfileInput, options?: ChangeOptions): Promise<ServerStatus> {
    return this.#inTurn((engine) => engine.add(profile, options));
  }

  update(serverId: string, changes: Omit<ProfileInput, "serverId">, options?: ChangeOptions): Promise<UpdatedServer> {
    return this.#inTurn((engine) => engine.update(serverId, changes, options));
  }

  remove(serverId: string, options?: ChangeOptions): Promise<RemovedServer> {
    return this.#inTurn((engine) => engine.remove(serverId, options));
  }

  activate(serverId: string | null, options?: ChangeOptions): Promise<ActiveServerChange> {
    return this.#inTurn((engine) => engine.activate(serverId, options));
  }

  apply(declared: readonly ProfileInput[]): Promise<void> {
    return this.#inTurn((engine) => engine.apply(declared));
  }

  list(): readonly ServerStatus[] {
    return this.#engine.list();
  }

  get preferredServerId(): string | undefined {
    return this.#engine.preferredServerId;
  }

  stats(): PoolStats {
    return this.#engine.stats();
  }

  on<K extends keyof PoolEvents>(event: K, listener: (detail: PoolEvents[K]) => void): Disposable {
    return this.#events.on(event, listener);
  }

  async release(caller: Caller): Promise<void> {
    await Promise.all([this.#engine, ...this.#retired].map((engine) => engine.release(caller)));
  }

  async close(options?: { readonly drain?: number }): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#engine, ...this.#retired].map((engine) => engine.close(options)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Keeps changes of servers waiting, and waits for the one under way, until it is disposed of. */
  hold(): Promise<Disposable> {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    return new Promise((ready) => {
      const holding = () => {
        ready({ [Symbol.dispose]: release });
        return held;
      };
      this.#turn = this.#turn.then(holding);
    });
  }

  /** New calls go to another engine, which has started; listeners hear what is different there. */
  replace(engine: ServerPool<W>): void {
    const former = this.#engine;
    const before = look(former);
    engine.takeOver(former);
    this.#engine = engine;
    // Of the former one, only what happens to its calls is news.
    for (const [event, forwarding] of this.#forwarding) if (event !== "failover") forwarding[Symbol.dispose]();
    this.#forwarding = this.#forward(engine);
    this.#tell(before, look(engine));
  }

  /** Closes an engine when the last of its calls has ended. Without a successor, the pool is closed. */
  async retire(engine: ServerPool<W>): Promise<void> {
    if (engine === this.#engine) this.#closed = true;
    this.#retired.add(engine);
    await engine.close({ drain: Infinity });
    this.#retired.delete(engine);
  }

  /** Changes of servers wait for each other, and for the engine to be replaced. */
  #inTurn<T>(change: (engine: ServerPool<W>) => Promise<T>): Promise<T> {
    const result = this.#turn.then(() => {
      if (this.#closed) throw new PoolClosedError(this.name);
      return change(this.#engine);
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }

  #forward(engine: ServerPool<W>): ReadonlyMap<keyof PoolEvents, Disposable> {
    return new Map(EVENTS.map((event) => [event, engine.on(event, (detail) => this.#events.emit(event, detail))]));
  }

  #tell(before: Look, after: Look): void {
    for (const serverId of before.servers.keys())
      if (!after.servers.has(serverId)) this.#events.emit("servers-changed", { serverId, change: "removed" });
    for (const [serverId, server] of after.servers) {
      const known = before.servers.get(serverId);
      if (!known) this.#events.emit("servers-changed", { serverId, change: "added" });
      else if (!isDeepStrictEqual(known.profile, server.profile))
        this.#events.emit("servers-changed", { serverId, change: "updated" });
    }
    if (before.preferred !== after.preferred)
      this.#events.emit("active-changed", { previousServerId: before.preferred, activeServerId: after.preferred });
    // The new one may have checked a server already.
    for (const [serverId, { health }] of after.servers) {
      const previous = before.servers.get(serverId)?.health.status;
      if (previous === undefined || previous === health.status) continue;
      this.#events.emit(`server-${health.status}`, { serverId, previous });
      if (previous === "unhealthy") this.#events.emit("recovered", { serverId });
    }
  }
}

/** What listeners may have been told of an engine. */
interface Look {
  readonly servers: ReadonlyMap<string, ServerStatus>;
  readonly preferred: string | undefined;
}

function look<W extends Wire>(engine: ServerPool<W>): Look {
  return {
    servers: new Map(engine.list().map((server) => [server.serverId, server])),
    preferred: engine.preferredServerId,
  };
}
