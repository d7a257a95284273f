import type { AffinityStore } from "../contracts/affinity-store.ts";
import type { Aggregate, Aggregator, Quorum } from "../contracts/aggregator.ts";
import type { Clock } from "../contracts/clock.ts";
import type { CredentialSource } from "../contracts/credential-source.ts";
import type { FailoverPolicy } from "../contracts/failover-policy.ts";
import type { Failure } from "../contracts/failure.ts";
import type { HealthProbe } from "../contracts/health-probe.ts";
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
import type { ProfileStore, StoredSnapshot } from "../contracts/profile-store.ts";
import type { HealthState, Observation, Selector } from "../contracts/selector.ts";
import type { ServerOrigin } from "../contracts/server-profile.ts";
import type { Transport } from "../contracts/transport.ts";
import type { Caller, Wire } from "../contracts/wire.ts";
import type { ResolvedPool } from "../config/resolve-config.ts";
import type { ProfileReader } from "../config/server-profile.ts";
import { PoolClosedError } from "../errors/call-errors.ts";
import { describeError } from "../errors/davpool-error.ts";
import { HealthMonitor } from "../health/health-monitor.ts";
import { HealthRecord } from "../health/health-record.ts";
import { HealthRecorder } from "../health/health-recorder.ts";
import { Telemetry } from "../telemetry/telemetry.ts";
import { Deadlines } from "../time/deadlines.ts";
import { inTime } from "../time/in-time.ts";
import type { RunningAttempt } from "./attempt.ts";
import { Call } from "./call.ts";
import { ChangeRecord } from "./change-record.ts";
import { Candidates } from "./candidates.ts";
import { Counters } from "./counters.ts";
import { EventChannel } from "./events.ts";
import { GroupCall, type GroupCallParts } from "./group-call.ts";
import { Hedging } from "./hedging.ts";
import { Limiter } from "./limiter.ts";
import { Membership, type PreparedChange } from "./membership.ts";
import type { PartNames } from "./part-names.ts";
import { Policies, type NamedPolicy } from "./policies.ts";
import { RetryBudget } from "./retry-budget.ts";
import { Server } from "./server.ts";

/** What a pool is put together from. */
export interface PoolParts<W extends Wire> {
  readonly settings: Pick<
    ResolvedPool,
    "name" | "health" | "limits" | "deadline" | "tiers" | "writes" | "aggregator" | "hedging" | "servers"
  >;
  readonly transport: Transport<W>;
  readonly selector: Selector;
  readonly probe: HealthProbe;
  readonly failover: FailoverPolicy;
  readonly policies: readonly NamedPolicy<W>[];
  readonly aggregators: ReadonlyMap<string, Aggregator>;
  readonly store: ProfileStore;
  readonly affinity: AffinityStore;
  readonly credentials: CredentialSource;
  readonly names: PartNames;
  readonly readProfile: ProfileReader;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** Those of the engine whose place this one takes: calls that it still ends are counted as well. */
  readonly counters?: Counters | undefined;
}

const DRAIN = 5_000;
/** Milliseconds that connections may take to close. */
const CLOSE_LIMIT = 5_000;

/** What a failure means to a selector: ended by somebody else than the server, an attempt only says "at least so long". */
const ENDS = {
  server: "failure",
  repetition: "failure",
  connection: "failure",
  request: "cancelled",
  caller: "cancelled",
} as const;

/** The pool engine. Calls run in `Call`, membership in `Membership`, health in `HealthMonitor`; this joins them. */
export class ServerPool<W extends Wire = Wire> implements Pool<W> {
  readonly name: string;
  readonly #parts: PoolParts<W>;
  readonly #servers = new Map<string, Server<W>>();
  /** Servers that have left and still serve what they had begun. */
  readonly #leaving = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  readonly #deadlines: Deadlines;
  readonly #candidates: Candidates<W>;
  readonly #limiter: Limiter<W>;
  readonly #budget: RetryBudget;
  readonly #telemetry: Telemetry;
  readonly counters: Counters;
  readonly #events: EventChannel;
  readonly #monitor: HealthMonitor<W>;
  readonly #membership: Membership<W>;
  readonly #recorder: HealthRecorder;
  readonly #callParts: GroupCallParts<W>;
  readonly #running = new Set<Promise<unknown>>();
  /** Health of servers before the start, until they have joined. */
  #remembered: Readonly<Record<string, StoredSnapshot>> = {};
  /** Servers of the engine whose place this one takes, until those of this one have joined. */
  #former: ReadonlyMap<string, Server<W>> | undefined;
  #successor: ServerPool<W> | undefined;
  #closed: Promise<void> | undefined;
  /** The probe gave what is no result, and that was logged. */
  #toldOfProbe = false;
  /** Set while calls drain: ends the wait after so many milliseconds. */
  #drainWithin: ((ms: number) => void) | undefined;

  constructor(parts: PoolParts<W>) {
    const { settings, clock, random, log, transport, store } = parts;
    this.name = settings.name;
    this.#parts = parts;
    this.counters = parts.counters ?? new Counters();
    const deadlines = new Deadlines(clock);
    this.#deadlines = deadlines;
    this.#candidates = new Candidates(settings, this.#servers);
    this.#limiter = new Limiter(settings.name, settings.limits.queue, clock, deadlines);
    this.#budget = new RetryBudget(settings.limits.retryBudget);
    this.#events = new EventChannel(log);
    this.#telemetry = new Telemetry(settings.name, {
      servers: () => this.#servers.values(),
      queued: () => this.#limiter.waiting,
      retries: () => this.#budget.available,
    });
    this.#monitor = new HealthMonitor(settings.health, parts.probe, clock, random, {
      probed: (server, { latency, state }) => {
        this.#telemetry.checked(server.serverId, state, latency);
        this.#observe(server, { latency, end: state === "failed" ? "failure" : "answer" });
      },
      misreported: (what) => this.#misreported(what),
      slotFreed: () => this.#offerSlots(1),
    });
    const policies = new Policies(parts.policies, log);
    this.#membership = new Membership({
      servers: this.#servers,
      candidates: this.#candidates,
      transport,
      store,
      readProfile: parts.readProfile,
      affinity: parts.affinity,
      events: this.#events,
      record: new ChangeRecord({ pool: settings.name, policies, secretFields: transport.secretFields, log }),
      clock,
      log,
      create: (profile, origin) => this.#createServer(profile, origin),
      joined: (server) => this.#joined(server),
      left: (server) => this.#left(server),
      preferred: () => this.preferredServerId,
    });
    this.#recorder = new HealthRecorder({
      store,
      counters: this.counters,
      clock,
      log,
      snapshots: () =>
        Object.fromEntries([...this.#servers.values()].map((server) => [server.serverId, server.record.stored()])),
    });
    this.#callParts = {
      pool: settings.name,
      servers: this.#servers,
      candidates: this.#candidates,
      transport,
      selector: parts.selector,
      failover: parts.failover,
      policies,
      names: parts.names,
      affinity: parts.affinity,
      limiter: this.#limiter,
      budget: this.#budget,
      hedging: settings.hedging ? new Hedging(settings.hedging) : undefined,
      deadlines,
      telemetry: this.#telemetry,
      credentials: parts.credentials,
      clock,
      random,
      signal: this.#closing.signal,
      deadline: settings.deadline,
      aggregators: parts.aggregators,
      aggregator: settings.aggregator,
      concurrency: settings.limits.broadcastConcurrency,
      minimumRate: settings.limits.minimumRate / 1_000,
      rejectionCodes: settings.health.rejectionCodes,
      writes: settings.writes,
      log,
      attemptEnded: (attempt) => this.#attemptEnded(attempt),
      slotFreed: () => this.#offerSlots(1),
      failedOver: (from, to, operation, failure) => {
        this.#telemetry.failover(from, to);
        const [left, taken] = [from, to].map((serverId) => this.#servers.get(serverId)?.priority ?? 0) as [
          number,
          number,
        ];
        const event = taken > left ? "Failover, Fallback" : "Failover";
        log.info(`${operation} moved from ${from} to ${to}: ${failure.message}`, {
          event,
          from,
          to,
          failure: failure.kind,
        });
        this.#events.emit("failover", { from, to, operation, failure });
      },
    };
  }

  /**
   * Restores health, loads the servers, and begins to check. Call it once, before anything else.
   * @param former the engine whose place this one is to take, with {@link ServerPool.takeOver}: what is known about
   * servers comes from there, and it goes on meanwhile.
   */
  async start(former?: ServerPool<W>): Promise<void> {
    const { settings } = this.#parts;
    if (former) this.#former = former.#servers;
    else await this.#restore();
    await this.#membership.start(settings.servers);
    this.#remembered = {};
    this.#former = undefined;
    if (!former) this.#recorder.start();
  }

  /** From now on this engine takes the calls and keeps the books; the former one only ends what it has begun. */
  takeOver(former: ServerPool<W>): void {
    former.#successor = this;
    former.#membership.stop();
    former.#monitor[Symbol.dispose]();
    for (const serverId of former.#servers.keys()) {
      if (this.#servers.has(serverId)) continue;
      this.#forget(serverId);
      void this.#membership.forget(serverId);
    }
    this.#recorder.start(former.#recorder.stop());
  }

  async #restore(): Promise<void> {
    const { store, log } = this.#parts;
    try {
      const stored = await store.loadHealth();
      this.counters.restore(stored.counters);
      // Before the first check, whose result is newer.
      this.#remembered = stored.servers;
    } catch (error) {
      log.warn(`Earlier health and counters cannot be read: ${describeError(error)}`);
    }
  }

  execute(request: W["request"], options?: CallOptions): Promise<Answer<W["response"]>>;
  execute<T>(request: W["request"], options: CallOptions & { consume: Consume<W, T> }): Promise<Answer<T>>;
  async execute<T>(request: W["request"], options: CallOptions & { consume?: Consume<W, T> } = {}): Promise<Answer<T>> {
    if (this.#closed) throw new PoolClosedError(this.name);
    const start = this.#parts.clock.now();
    const call = new Call<W, T>(this.#callParts, request, options, options.consume);
    const result = call.run();
    this.#running.add(result);
    try {
      return await result;
    } finally {
      this.#running.delete(result);
      // What could not even be asked says nothing about the pool.
      if (call.failure?.kind !== "invalid")
        this.counters.ended(call.failure === undefined, this.#parts.clock.now() - start, call.failedOver);
    }
  }

  async broadcast<T>(
    request: W["request"],
    options: BroadcastOptions<W, T>,
  ): Promise<Aggregate<T> & { readonly quorum?: Quorum }> {
    if (this.#closed) throw new PoolClosedError(this.name);
    const { clock } = this.#parts;
    const start = clock.now();
    const call = new GroupCall<W, T>(this.#callParts, request, options);
    const result = call.run();
    this.#running.add(result);
    try {
      return await result;
    } finally {
      this.#running.delete(result);
      this.counters.ended(!call.failed, clock.now() - start, false);
    }
  }

  async add(profile: ProfileInput, options?: ChangeOptions): Promise<ServerStatus> {
    return (await this.#membership.add(profile, options)).status();
  }

  async update(
    serverId: string,
    changes: Omit<ProfileInput, "serverId">,
    options?: ChangeOptions,
  ): Promise<UpdatedServer> {
    const { server, dropped } = await this.#membership.update(serverId, changes, options);
    return { ...server.status(), droppedSecrets: dropped };
  }

  remove(serverId: string, options?: ChangeOptions): Promise<RemovedServer> {
    return this.#membership.remove(serverId, options);
  }

  activate(serverId: string | null, options?: ChangeOptions): Promise<ActiveServerChange> {
    return this.#membership.activate(serverId, options);
  }

  apply(declared: readonly ProfileInput[]): Promise<void> {
    return this.#membership.apply(declared);
  }

  /** As {@link ServerPool.apply}, in two steps, so that several pools change together or not at all. */
  prepare(declared: readonly ProfileInput[]): Promise<PreparedChange> {
    return this.#membership.prepare(declared);
  }

  list(): readonly ServerStatus[] {
    return [...this.#servers.values()].map((server) => server.status());
  }

  get preferredServerId(): string | undefined {
    const usual = this.#candidates.for({ tried: undefined, admits: undefined, primaryOnly: true });
    return usual[0]?.serverId;
  }

  stats(): PoolStats {
    const servers = [...this.#servers.values()];
    const totals = { active: 0, idle: 0, max: 0 };
    for (const server of servers) {
      const { active, idle, max } = server.connectionStats();
      totals.active += active;
      totals.idle += idle;
      totals.max += max;
    }
    const unhealthy = servers.filter((server) => server.health === "unhealthy").length;
    const { responseTimeSum, ...requestStats } = this.counters.current;
    return {
      totalServers: servers.length,
      healthyServers: servers.length - unhealthy,
      unhealthyServers: unhealthy,
      totalConnections: totals,
      requestStats,
      averageResponseTime:
        requestStats.successful === 0 ? 0 : Math.round((10 * responseTimeSum) / requestStats.successful) / 10,
    };
  }

  on<K extends keyof PoolEvents>(event: K, listener: (detail: PoolEvents[K]) => void): Disposable {
    return this.#events.on(event, listener);
  }

  async release(caller: Caller): Promise<void> {
    await Promise.all([...this.#servers.values()].map((server) => server.letGo(caller)));
  }

  /** Called again, it may end the wait for calls sooner, not later. */
  close({ drain = DRAIN }: { readonly drain?: number } = {}): Promise<void> {
    this.#closed ??= this.#close();
    this.#drainWithin?.(drain);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#membership.stop();
    this.#monitor[Symbol.dispose]();
    await this.#drained();
    const closed = new PoolClosedError(this.name);
    this.#closing.abort(closed);
    this.#deadlines.close(closed);
    await this.#disconnected();
    await this.#recorder.stop();
    this.#telemetry[Symbol.dispose]();
  }

  /** Closes every connection; one that does not close in time is left to itself. */
  async #disconnected(): Promise<void> {
    const { clock, log } = this.#parts;
    const closed = Promise.allSettled([
      ...[...this.#servers.values()].map((server) => server.close()),
      ...this.#leaving,
    ]);
    try {
      await inTime(closed, clock, CLOSE_LIMIT, () => new Error(`not closed after ${CLOSE_LIMIT} ms`));
    } catch (error) {
      log.warn(`Pool "${this.name}" leaves connections behind: ${describeError(error)}.`);
    }
  }

  /** Waits for calls in flight and bodies that still flow, until `#drainWithin` ends it. */
  async #drained(): Promise<void> {
    const servers = [...this.#servers.values()];
    if (this.#running.size === 0 && this.#leaving.size === 0 && servers.every((server) => !server.busy)) return;
    const timers: Disposable[] = [];
    await new Promise<unknown>((resolve) => {
      this.#drainWithin = (ms) => {
        if (ms !== Infinity) timers.push(this.#parts.clock.after(ms, () => resolve(undefined)));
      };
      const ends = [...this.#running, ...this.#leaving, ...servers.map((server) => server.drained())];
      void Promise.allSettled(ends).then(resolve);
    });
    this.#drainWithin = undefined;
    for (const timer of timers) timer[Symbol.dispose]();
  }

  #createServer(profile: W["profile"], origin: ServerOrigin): Server<W> {
    const { settings, clock, transport, credentials } = this.#parts;
    const checked = settings.health.enabled && profile.healthCheckInterval > 0;
    const record = new HealthRecord(settings.health, checked, clock, {
      changed: (previous, reason, ejected) => this.#healthChanged(server, previous, reason, ejected),
      mayEject: () =>
        // One that is allowed a trial may well fail it.
        [...this.#servers.values()].some((other) => other !== server && other.enabled && other.health !== "unhealthy"),
    });
    const server: Server<W> = new Server(profile, origin, record, {
      transport,
      credentials,
      clock,
      signal: this.#closing.signal,
      retryBudget: settings.limits.retryBudget,
      troubled: () => this.#monitor.hurry(server),
    });
    return server;
  }

  #joined(server: Server<W>): void {
    this.#budget.atLeast(server.maxConnections);
    server.record.setChecked(this.#parts.settings.health.enabled && server.profile.healthCheckInterval > 0);
    const remembered = this.#remembered[server.serverId];
    if (remembered) server.record.restore(remembered);
    const former = this.#former?.get(server.serverId);
    if (former) server.continue(former);
    this.#monitor.watch(server);
    this.#offerSlots(Infinity);
  }

  #left(server: Server<W>): void {
    this.#monitor.forget(server);
    this.#forget(server.serverId);
    const leaving = server.drained().then(() => server.close());
    this.#leaving.add(leaving);
    void leaving.finally(() => this.#leaving.delete(leaving));
    // Whoever waited for this server alone waits for nothing.
    this.#offerSlots(Infinity);
  }

  #forget(serverId: string): void {
    this.#recorder.forget(serverId);
    try {
      this.#parts.selector.forget?.(serverId);
    } catch (error) {
      this.#strategyFailed(error);
    }
  }

  #attemptEnded(attempt: RunningAttempt<W>): void {
    const { server, failure, latency, trial } = attempt;
    server.release(attempt.principal);
    server.attemptsTotal++;
    if (failure) server.attemptsFailed++;
    server.ended(attempt);
    const refused = failure?.kind === "refused";
    const end = failure === undefined ? "answer" : refused ? "failure" : ENDS[failure.blame];
    this.#observe(server, { latency, end, ...(failure && { failure }) });
    // Where no connection can be made, it is the server that fails, whatever it was to be asked.
    const evidence = failure?.kind === "unsent" ? undefined : attempt;
    if (failure === undefined) {
      const { rejection } = attempt;
      if (rejection === undefined) server.record.outcome(undefined, latency, trial, evidence);
      else server.record.rejected(`it answered ${rejection}`, latency, trial, evidence);
    } else if (failure.blame === "server") server.record.outcome(failure.message, latency, trial, evidence);
    else if (failure.blame === "repetition" && this.#counts(failure))
      server.record.rejected(failure.message, latency, trial, evidence);
    else if (trial) server.record.undecided();
    // The check says whether it refuses everything, or only this.
    if (failure && (refused || failure.blame === "server" || failure.blame === "repetition"))
      this.#monitor.hurry(server);
    if (failure === undefined) this.#offerSlots(1);
    // Attempts that hang with this one end in the same turn: whoever waits must not be sent after them.
    else queueMicrotask(() => this.#offerSlots(1));
  }

  /** Broken connections do when they repeat; answers, as far as they are configured to. */
  #counts({ code }: Failure): boolean {
    return typeof code !== "number" || this.#parts.settings.health.rejectionCodes.has(code);
  }

  #offerSlots(slots: number): void {
    if (this.#limiter.waiting > 0) this.#limiter.offer(slots);
  }

  #observe(server: Server<W>, observation: Observation): void {
    // Of one that has left, the selector has been told to forget everything.
    if (this.#servers.get(server.serverId) !== server) return;
    if (this.#successor && !this.#successor.#servers.has(server.serverId)) return;
    try {
      const told: unknown = this.#parts.selector.observe?.(server, observation);
      // An async function is one to the types; what it rejects with must not end the process.
      if (told instanceof Promise) told.catch((error: unknown) => this.#strategyFailed(error));
    } catch (error) {
      this.#strategyFailed(error);
    }
  }

  #strategyFailed(error: unknown): void {
    const { log, names } = this.#parts;
    log.error(`The strategy "${names.strategy}" failed.`, { error: describeError(error) });
  }

  /** Once: every check of every server would say the same. */
  #misreported(what: string): void {
    if (this.#toldOfProbe) return;
    this.#toldOfProbe = true;
    const { log, names } = this.#parts;
    log.error(
      `The probe "${names.probe}" of pool "${this.name}" gave ${what}. A result is { state: "healthy", "degraded" or "failed", latency: milliseconds }; anything else counts as failed.`,
      { probe: names.probe },
    );
  }

  #healthChanged(server: Server<W>, previous: HealthState, reason: string | undefined, ejected = false): void {
    this.#candidates.invalidate();
    if (server.record.usable) this.#offerSlots(Infinity);
    const state = server.health;
    if (state === previous) return;
    this.#recorder.noteChange();
    const { serverId } = server;
    this.#telemetry.healthChanged(serverId, state, ejected);
    const change = { serverId, previous, ...(reason !== undefined && { reason }) };
    const line = `Server ${serverId} is ${state}${reason === undefined ? "" : `: ${reason}`}`;
    this.#parts.log[state === "healthy" ? "info" : "warn"](line, {
      event: "Health check",
      serverId,
      state,
      previous,
    });
    this.#events.emit(`server-${state}`, change);
    if (ejected) this.#events.emit("server-ejected", change);
    if (previous === "unhealthy") this.#events.emit("recovered", { serverId });
    const enabled = [...this.#servers.values()].filter((other) => other.enabled);
    if (state !== "unhealthy" && previous !== "unhealthy") return;
    const { log } = this.#parts;
    const usable = enabled.filter((other) => other.health !== "unhealthy").map((other) => other.serverId);
    if (usable.length > 0) {
      log.info(`Requests are balanced over ${usable.join(", ")}.`, { event: "Load balancing", servers: usable });
      return;
    }
    if (enabled.length === 0) return;
    const servers = enabled.map((other) => other.serverId);
    log.error(`All servers of pool "${this.name}" are down: ${servers.join(", ")}.`, { event: "all-down", servers });
    this.#events.emit("all-down", { servers });
  }
}
