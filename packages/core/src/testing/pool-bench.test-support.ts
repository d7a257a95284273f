import { allAggregator } from "../aggregator/all.ts";
import { fastestAggregator, firstAggregator } from "../aggregator/first.ts";
import { majorityAggregator } from "../aggregator/majority.ts";
import type { Aggregator } from "../contracts/aggregator.ts";
import { Type } from "typebox";
import type { Log } from "../contracts/log.ts";
import type { Policy } from "../contracts/policy.ts";
import type { ProfileStore, StoredHealth, StoredState } from "../contracts/profile-store.ts";
import type { PoolEvents, ProfileInput } from "../contracts/pool.ts";
import { profileReader } from "../config/server-profile.ts";
import type { HealthSettings, HedgingSettings, LimitSettings } from "../config/resolve-config.ts";
import { defaultFailoverPolicy } from "../failover/default-policy.ts";
import { pingProbe } from "../health/ping-probe.ts";
import { definePlugin } from "../plugin/define-plugin.ts";
import { memoryAffinity } from "../pool/affinity-memory.ts";
import { ServerPool, type PoolParts } from "../pool/pool.ts";
import { createManualClock, type ManualClock } from "../time/manual-clock.ts";
import { ScriptedTransport, type ScriptedRequest, type ScriptedWire } from "./scripted-transport.test-support.ts";

export const GET: ScriptedRequest = { operation: "GET", repeat: "safe" };
export const PUT: ScriptedRequest = { operation: "PUT", repeat: "idempotent" };
export const POST: ScriptedRequest = { operation: "POST", repeat: "neither" };

/** The transport as a plugin, for what reads profiles and configurations. */
export const scriptedPlugin = definePlugin({
  kind: "transport",
  name: "scripted",
  profile: Type.Object({ url: Type.Optional(Type.String()), password: Type.Optional(Type.Any()) }),
  create: () => new ScriptedTransport(),
});

/** Lets everything that waits for nothing but itself run. */
export async function flush(): Promise<void> {
  for (let turn = 0; turn < 40; turn++) await Promise.resolve();
}

/** Moves time on in the steps of the coarse timer, so that what follows from each can happen. */
export async function advance(clock: ManualClock, ms: number, step = 10): Promise<void> {
  await flush();
  for (let left = ms; left > 0; left -= step) {
    clock.advance(Math.min(step, left));
    await flush();
  }
}

/** How a promise stands, without waiting for it. */
export async function standing<T>(promise: Promise<T>): Promise<"pending" | "fulfilled" | "rejected"> {
  let state: "pending" | "fulfilled" | "rejected" = "pending";
  promise.then(
    () => (state = "fulfilled"),
    () => (state = "rejected"),
  );
  await flush();
  return state;
}

export interface LogLine {
  readonly level: keyof Log;
  readonly message: string;
}

export function recordingLog(): { readonly log: Log; readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const write = (level: keyof Log) => (message: string) => void lines.push({ level, message });
  return {
    lines,
    log: { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") },
  };
}

const NO_COUNTERS = { total: 0, successful: 0, failed: 0, failoverCount: 0, responseTimeSum: 0 };

/** A store in memory that can be made to fail, and into which another process can write. */
export class ScriptedStore implements ProfileStore {
  state: StoredState = { activeServerId: undefined, servers: [] };
  health: StoredHealth = { servers: {}, counters: NO_COUNTERS };
  problem: Error | undefined;
  healthProblem: Error | undefined;
  /** Runs while an update is being written. */
  meanwhile: (() => Promise<void>) | undefined;
  healthSaves = 0;
  disposed = 0;
  #changed: ((state: StoredState) => void) | undefined;

  load(): Promise<StoredState> {
    return this.problem ? Promise.reject(this.problem) : Promise.resolve(this.state);
  }

  async update(change: (state: StoredState) => StoredState): Promise<StoredState> {
    await Promise.resolve();
    if (this.problem) throw this.problem;
    const next = change(this.state);
    await this.meanwhile?.();
    this.state = JSON.parse(JSON.stringify(next)) as StoredState;
    return this.state;
  }

  loadHealth(): Promise<StoredHealth> {
    return this.healthProblem ? Promise.reject(this.healthProblem) : Promise.resolve(this.health);
  }

  async updateHealth(change: (state: StoredHealth) => StoredHealth): Promise<void> {
    await Promise.resolve();
    if (this.healthProblem) throw this.healthProblem;
    this.healthSaves++;
    this.health = change(this.health);
  }

  watch(changed: (state: StoredState) => void): Disposable {
    this.#changed = changed;
    return { [Symbol.dispose]: () => (this.#changed = undefined) };
  }

  get watched(): boolean {
    return this.#changed !== undefined;
  }

  /** As another process would. */
  async changeElsewhere(state: StoredState): Promise<void> {
    this.state = state;
    this.#changed?.(state);
    await flush();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.disposed++;
    return Promise.resolve();
  }
}

export const HEALTH: HealthSettings = {
  enabled: false,
  failures: 3,
  successes: 2,
  timeout: 5_000,
  recoveryInterval: 2_000,
  ejection: 30_000,
  slowStart: 0,
  rejections: 5,
  rejectionCodes: new Set([408, 429]),
  checksPerSecond: 1_000,
};

const LIMITS: LimitSettings = {
  queue: { size: 1_000, timeout: 10_000 },
  minimumRate: 1_024,
  retryBudget: 0.2,
  broadcastConcurrency: 8,
};

export interface BenchOptions extends Partial<
  Pick<PoolParts<ScriptedWire>, "selector" | "failover" | "random" | "affinity" | "probe" | "credentials" | "clock">
> {
  /** Named `policy-1`, `policy-2` … */
  readonly policies?: readonly Policy<ScriptedWire>[];
  readonly servers?: readonly (string | ProfileInput)[];
  readonly health?: Partial<HealthSettings>;
  readonly limits?: Partial<LimitSettings>;
  readonly deadline?: number;
  readonly tiers?: boolean;
  readonly writes?: "balanced" | "primary";
  readonly hedging?: HedgingSettings;
  readonly store?: ScriptedStore;
  readonly transport?: ScriptedTransport;
  /** Default: none, so that the order of attempts is that of the servers. */
  readonly failoverEnabled?: boolean;
}

/** A pool over scripted servers, with everything a test may want to look at. Not started yet. */
export function buildPool(options: BenchOptions = {}) {
  const manual = createManualClock();
  const clock = options.clock ?? manual;
  const transport = options.transport ?? new ScriptedTransport();
  const store = options.store ?? new ScriptedStore();
  const { log, lines } = recordingLog();
  const readProfile = profileReader(scriptedPlugin, {});
  const complete = (server: string | ProfileInput) =>
    readProfile(typeof server === "string" ? { serverId: server } : server).profile;
  const random = options.random ?? (() => 0.5);
  const parts: PoolParts<ScriptedWire> = {
    settings: {
      name: "files",
      health: { ...HEALTH, ...options.health },
      limits: { ...LIMITS, ...options.limits },
      deadline: options.deadline ?? 10_000,
      tiers: options.tiers ?? true,
      writes: options.writes ?? "balanced",
      aggregator: "all",
      hedging: options.hedging ?? false,
      servers: (options.servers ?? ["a", "b", "c"]).map(complete),
    },
    transport,
    selector: options.selector ?? { select: (candidates) => candidates[0] },
    probe: options.probe ?? pingProbe.create({ clock } as never, {}),
    failover:
      options.failover ??
      defaultFailoverPolicy({ enabled: options.failoverEnabled ?? true, backoff: 100, longestBackoff: 5_000 }),
    policies: (options.policies ?? []).map((policy, index) => ({ name: `policy-${index + 1}`, policy })),
    aggregators: new Map<string, Aggregator>(
      [allAggregator, firstAggregator, fastestAggregator, majorityAggregator].map((plugin) => [
        plugin.name,
        plugin.create(undefined as never, {}),
      ]),
    ),
    store,
    affinity: options.affinity ?? memoryAffinity(clock),
    names: {
      strategy: "strategy",
      probe: "probe",
      failover: "failover",
    },
    credentials: options.credentials ?? { credentials: () => Promise.resolve(undefined) },
    readProfile,
    clock,
    random,
    log,
  };
  const pool = new ServerPool<ScriptedWire>(parts);
  const events: { readonly event: keyof PoolEvents; readonly detail: unknown }[] = [];
  for (const event of [
    "server-healthy",
    "server-degraded",
    "server-unhealthy",
    "recovered",
    "failover",
    "all-down",
    "servers-changed",
    "active-changed",
  ] as const)
    pool.on(event, (detail) => void events.push({ event, detail }));
  return {
    pool,
    clock: manual,
    transport,
    store,
    lines,
    events,
    server: (serverId: string) => transport.server(serverId),
    /** Slots in use, over all servers. */
    slots: () => pool.list().reduce((sum, server) => sum + server.inFlight, 0),
    /** How often each server was sent something. */
    sent: () => [...transport.servers].map(([serverId, server]) => `${serverId}:${server.sent.length}`).join(" "),
    names: () => events.map(({ event }) => event),
    advance: (ms: number, step?: number) => advance(manual, ms, step),
  };
}

export type Bench = ReturnType<typeof buildPool>;

/** The same, started. */
export async function openBench(options: BenchOptions = {}): Promise<Bench> {
  const bench = buildPool(options);
  for (const { serverId } of bench.pool.list()) bench.server(serverId);
  await bench.pool.start();
  for (const { serverId } of bench.pool.list()) bench.server(serverId);
  bench.events.length = 0;
  return bench;
}
