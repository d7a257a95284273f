import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../contracts/clock.ts";
import type { Connection, ConnectionStats } from "../contracts/connection.ts";
import type { CredentialSource } from "../contracts/credential-source.ts";
import type { Failure } from "../contracts/failure.ts";
import type { ServerStatus } from "../contracts/pool.ts";
import type { EnabledOverride } from "../contracts/profile-store.ts";
import type { HealthState, ServerView } from "../contracts/selector.ts";
import type { ServerOrigin, ServerProfile } from "../contracts/server-profile.ts";
import type { Transport } from "../contracts/transport.ts";
import type { Caller, Wire } from "../contracts/wire.ts";
import { isDavpoolError } from "../errors/davpool-error.ts";
import type { HealthRecord } from "../health/health-record.ts";
import type { RunningAttempt } from "./attempt.ts";
import { Connections } from "./connections.ts";
import { fairShare, Holdings } from "./holdings.ts";
import { RefusedCredentials } from "./refused-credentials.ts";
import { RetryBudget } from "./retry-budget.ts";
import { SHARED, partitionOf, type Partition } from "./partition.ts";

/** What all servers of a pool share. */
export interface ServerParts<W extends Wire> {
  readonly transport: Transport<W>;
  readonly credentials: CredentialSource;
  readonly clock: Clock;
  /** The pool's: aborts when the pool closes. */
  readonly signal: AbortSignal;
  /** Share of a retry that each call puts in. */
  readonly retryBudget: number;
  /** Told when one of the server's connections finds out by itself that the server is not well. */
  readonly troubled: () => void;
}

/** Fields that the engine reads anew for every attempt: changing them needs no new connection. */
const ENGINE_FIELDS = new Set<string>([
  "priority",
  "weight",
  "group",
  "timeout",
  "retryAttempts",
  "healthCheckInterval",
  "enabled",
] satisfies (keyof ServerProfile)[]);

/** One server of a pool: its profile, its health, its connections and how busy it is. */
export class Server<W extends Wire = Wire> implements ServerView {
  readonly serverId: string;
  readonly origin: ServerOrigin;
  readonly record: HealthRecord;
  readonly #parts: ServerParts<W>;
  #profile: W["profile"];
  #connections: Connections<W>;
  /** Of addresses that the server had before, and still in use. */
  readonly #outdated = new Set<Connections<W>>();
  #drained: (() => void)[] = [];
  /** Wait for a slot, before the queue of the pool. */
  readonly #awaiting: (() => Promise<void>)[] = [];
  #inFlight = 0;
  /** A caller's word on whether it takes requests. */
  override: EnabledOverride | undefined;
  /** Attempts that wait for their callers, without a slot. */
  #suspended = 0;
  readonly #holdings = new Holdings();
  readonly #refused: RefusedCredentials;
  /** Of calls that name this server. */
  readonly budget: RetryBudget;
  attemptsTotal = 0;
  attemptsFailed = 0;

  constructor(profile: W["profile"], origin: ServerOrigin, record: HealthRecord, parts: ServerParts<W>) {
    this.serverId = profile.serverId;
    this.origin = origin;
    this.#profile = profile;
    this.record = record;
    this.#parts = parts;
    this.#refused = new RefusedCredentials(this.serverId, parts.clock);
    this.#connections = this.#newConnections();
    this.budget = new RetryBudget(parts.retryBudget);
  }

  get profile(): W["profile"] {
    return this.#profile;
  }
  get priority(): number {
    return this.#profile.priority;
  }
  get group(): string | undefined {
    return this.#profile.group;
  }
  get enabled(): boolean {
    return this.#profile.enabled;
  }
  get maxConnections(): number {
    return this.#profile.maxConnections;
  }
  get weight(): number {
    return this.#profile.weight;
  }
  get inFlight(): number {
    return this.#inFlight;
  }
  get free(): boolean {
    return this.#inFlight < this.#profile.maxConnections;
  }
  /** A slot is free that this principal may have. */
  freeFor(principal: string | undefined): boolean {
    return this.free && this.#holdings.of(principal) < fairShare(this.maxConnections);
  }
  /** Attempts that have not ended, also those that hold no slot. */
  get busy(): boolean {
    return this.#inFlight + this.#suspended > 0;
  }
  get health(): HealthState {
    return this.record.state;
  }

  get connections(): Connections<W> {
    return this.#connections;
  }

  /** Goes on from where the same server stands in another engine. */
  continue(former: Server<W>): void {
    this.record.continue(former.record);
    this.attemptsTotal = former.attemptsTotal;
    this.attemptsFailed = former.attemptsFailed;
  }

  /** Takes a slot. True when whoever takes it tries whether the server has recovered. */
  take(principal: string | undefined): boolean {
    this.#inFlight++;
    this.#holdings.take(principal);
    return this.record.taken();
  }

  /** An attempt waits for its caller: others have its slot meanwhile. */
  suspend(principal: string | undefined): void {
    this.#suspended++;
    this.release(principal);
  }

  /** It goes on, also where that makes one attempt too many for a while. */
  goOn(principal: string | undefined): void {
    this.#suspended--;
    this.#inFlight++;
    this.#holdings.take(principal);
  }

  release(principal: string | undefined): void {
    this.#holdings.giveBack(principal);
    const next = this.#awaiting.shift();
    if (next) {
      void next();
      return;
    }
    this.#inFlight--;
    if (this.busy) return;
    for (const drained of this.#drained.splice(0)) drained();
  }

  /**
   * Does something with the next slot that becomes free, before anybody in the queue of the pool has it.
   * @param work never rejects.
   * @param freed told when the slot is free again.
   */
  onceFree(work: () => Promise<void>, freed: () => void): void {
    this.#awaiting.push(() =>
      work().finally(() => {
        this.release(undefined);
        freed();
      }),
    );
  }

  /** Asks whether it is well, with the server's own credentials: whatever a principal's are, they say nothing of it. */
  async ping(signal: AbortSignal): Promise<string | void> {
    const connections = this.#connections;
    const name = this.#parts.transport.partition?.(this.#profile, {}) ?? "";
    const partition = name === "" ? SHARED : { key: `:${name}`, name, principal: undefined };
    const kept = connections.take(partition);
    try {
      const connection = await kept.connection;
      try {
        const complaint = await connection.probe(signal);
        this.#refused.accepted(partition.key);
        // What it is asked with may have been put right meanwhile, and is read when a connection opens.
        if (complaint !== undefined) connections.renew(partition);
        return complaint;
      } catch (error) {
        if (isDavpoolError(error) && error.code === "CREDENTIALS_REFUSED") this.#refuse(connections, partition);
        else connections.ended(kept, verdictOf(this.#parts.transport.explain(error)));
        throw error;
      }
    } finally {
      connections.giveBack(kept);
    }
  }

  /** An attempt on one of its connections has ended. */
  ended({ connections, kept, failure, wasSent }: RunningAttempt<W>): void {
    if (!kept || (failure?.kind === "refused" && !wasSent)) return;
    const { partition } = kept;
    if (failure?.kind !== "refused") {
      connections.ended(kept, verdictOf(failure));
      if (!failure) this.#refused.accepted(partition.key);
      return;
    }
    // Of the server's own credentials, the check says whether they are refused altogether or for one path only: else one
    // caller's forbidden path would keep everybody out.
    const again = connections.ended(kept, "bad") && partition.principal !== undefined;
    if (again || this.#refused.has(partition.key)) this.#refuse(connections, partition);
  }

  /** The credentials of a partition are not sent again for a while, unless they change. */
  #refuse(connections: Connections<W>, partition: Partition): void {
    this.#refused.refused(partition.key);
    connections.renew(partition);
  }

  /** @throws NoCredentialsError where the caller has none here. */
  partition(caller: Caller): Partition {
    return partitionOf(this.#parts, this.#profile, this.origin, caller);
  }

  /**
   * When the pool led the caller here last, on a scale that grows over all servers; 0: never. Undefined where it has no
   * connection that the transport keeps apart.
   */
  lastChoice(caller: Caller): number | undefined {
    try {
      const partition = this.partition(caller);
      return partition.name === "" ? undefined : this.#connections.lastChoice(partition);
    } catch {
      // Whoever may not ask this server has nothing there.
      return undefined;
    }
  }

  /** Closes the caller's own connections, once their attempts have ended. */
  async letGo(caller: Caller): Promise<void> {
    const name = this.#parts.transport.partition?.(this.#profile, caller) ?? "";
    if (name !== "") await this.#connections.release(name, caller.principal);
  }

  /** Takes on a changed profile. Connections that it makes wrong are closed once they are idle. */
  change(profile: W["profile"]): void {
    const before = identity(this.#profile);
    this.#profile = profile;
    if (isDeepStrictEqual(identity(profile), before)) return;
    const old = this.#connections;
    this.#refused.clear();
    this.#connections = this.#newConnections();
    this.#outdated.add(old);
    void old.closeWhenIdle().then(() => this.#outdated.delete(old));
  }

  connectionStats(): ConnectionStats {
    let [active, idle] = [0, 0];
    for (const connection of this.#connections) {
      const stats = connection.stats();
      active += stats.active;
      idle += stats.idle;
    }
    return { active, idle, max: this.#profile.maxConnections };
  }

  status(): ServerStatus {
    const secret = new Set(this.#parts.transport.secretFields);
    return {
      serverId: this.serverId,
      profile: Object.fromEntries(Object.entries(this.#profile).filter(([field]) => !secret.has(field))),
      origin: this.origin,
      enabled: this.enabled,
      ...(this.override && { override: this.override }),
      priority: this.priority,
      group: this.group,
      health: this.record.snapshot(),
      connections: this.connectionStats(),
      inFlight: this.#inFlight,
      attempts: { total: this.attemptsTotal, failed: this.attemptsFailed },
    };
  }

  /** Resolves when no attempt is in flight. */
  async drained(): Promise<void> {
    if (this.busy) await new Promise<void>((resolve) => this.#drained.push(resolve));
  }

  /** Closes every connection. */
  async close(): Promise<void> {
    this.record[Symbol.dispose]();
    await Promise.all([this.#connections, ...this.#outdated].map((connections) => connections.close()));
  }

  #newConnections(): Connections<W> {
    return new Connections((partition) => this.#connect(partition), this.#parts.clock);
  }

  async #connect({ key, name, principal }: Partition): Promise<Connection<W>> {
    const { transport, credentials: source, signal, clock, troubled } = this.#parts;
    const profile = this.#profile;
    const credentials = await source.credentials(profile, principal, signal, this.origin);
    this.#refused.admit(key, credentials);
    return transport.connect(profile, {
      partition: name,
      origin: this.origin,
      credentials,
      signal,
      clock,
      troubled,
    });
  }
}

/** What the end of an attempt says about its connection; nothing where there was none to send anything on. */
function verdictOf(failure: Failure | undefined): "good" | "bad" | undefined {
  if (!failure) return "good";
  if (failure.kind === "unsent") return undefined;
  return failure.blame === "request" || failure.blame === "caller" ? undefined : "bad";
}

/** What a connection depends on. */
function identity(profile: ServerProfile): object {
  return Object.fromEntries(Object.entries(profile).filter(([field]) => !ENGINE_FIELDS.has(field)));
}
