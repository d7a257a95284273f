import { context as telemetryContext, type Span } from "@opentelemetry/api";
import type { AffinityChange, AffinityStore } from "../contracts/affinity-store.ts";
import type { Clock } from "../contracts/clock.ts";
import type { AttemptRecord, FailoverDecision, FailoverPolicy } from "../contracts/failover-policy.ts";
import type { Failure } from "../contracts/failure.ts";
import type { Log } from "../contracts/log.ts";
import type { Policy, PolicyCall } from "../contracts/policy.ts";
import type { Answer, CallOptions, Consume } from "../contracts/pool.ts";
import type { RequestTraits } from "../contracts/request-traits.ts";
import type { Selector } from "../contracts/selector.ts";
import type { Transport } from "../contracts/transport.ts";
import type { Caller, MaybePromise, Wire } from "../contracts/wire.ts";
import {
  AffinityConflictError,
  AffinityUnavailableError,
  AffinityUnknownError,
  CallCancelledError,
  DeadlineExceededError,
  NoServerAvailableError,
  OutcomeUnknownError,
  PolicyDeniedError,
  type ServerReport,
} from "../errors/call-errors.ts";
import { describeError, isDavpoolError } from "../errors/davpool-error.ts";
import { ServerDisabledError, UnknownServerError } from "../errors/server-errors.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import { TICK, type Deadlines } from "../time/deadlines.ts";
import { pause, within } from "../time/patience.ts";
import { RunningAttempt } from "./attempt.ts";
import { failureOfCall } from "./call-failure.ts";
import type { Candidates } from "./candidates.ts";
import type { Limiter } from "./limiter.ts";
import type { RetryBudget } from "./retry-budget.ts";
import type { Server } from "./server.ts";

/** What a call needs of its pool. A call keeps the parts it began with, even when the pool's are replaced. */
export interface CallParts<W extends Wire> {
  readonly pool: string;
  readonly servers: ReadonlyMap<string, Server<W>>;
  readonly candidates: Candidates<W>;
  readonly transport: Transport<W>;
  readonly selector: Selector;
  readonly failover: FailoverPolicy;
  readonly policies: readonly Policy<W>[];
  readonly affinity: AffinityStore;
  readonly limiter: Limiter<W>;
  readonly budget: RetryBudget;
  readonly deadlines: Deadlines;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly random: () => number;
  /** Aborts when the pool closes. */
  readonly signal: AbortSignal;
  /** Milliseconds. */
  readonly deadline: number;
  /** Bytes per millisecond. */
  readonly minimumRate: number;
  readonly writes: "balanced" | "primary";
  readonly log: Log;
  /** Told how each attempt ended, once its body is through. */
  readonly attemptEnded: (attempt: RunningAttempt<W>) => void;
  readonly failedOver: (from: string, to: string, operation: string, failure: Failure) => void;
}

/** What follows an attempt: the answer, or another attempt. */
type Settled<T> = { readonly answer: Answer<T> } | Retry;

type Retry = Extract<FailoverDecision, { action: "retry" }>;

const NOBODY: Caller = {};

/** One call: attempts, one after another, until one of them or the failover policy settles it. */
export class Call<W extends Wire, T> {
  readonly #parts: CallParts<W>;
  readonly #options: CallOptions;
  readonly #consume: Consume<W, T> | undefined;
  readonly #caller: Caller;
  readonly #startedAt: number;
  readonly #deadline: number;
  readonly #attempts: AttemptRecord[] = [];
  #request: W["request"];
  #traits: RequestTraits;
  /** The only server that may take it. */
  #pinned: Server<W> | undefined;
  /** The only server that may take the next attempt. */
  #again: Server<W> | undefined;
  #tried: Set<string> | undefined;
  #first: Server<W> | undefined;
  /** The slot that was taken last is that of a trial. */
  #trial = false;
  /** False for a server that policies keep this call from. */
  #allowed: ((server: Server<W>) => boolean) | undefined;
  /** False for a server that may not or cannot take this request. */
  #admits: ((server: Server<W>) => boolean) | undefined;
  #span: Span | undefined;
  /** The failure that the settled answer stands for, or the error's. */
  failure: Failure | undefined;
  failedOver = false;

  constructor(parts: CallParts<W>, request: W["request"], options: CallOptions, consume: Consume<W, T> | undefined) {
    this.#parts = parts;
    this.#options = options;
    this.#consume = consume;
    this.#caller = options.caller ?? NOBODY;
    this.#request = request;
    this.#traits = parts.transport.traits(request);
    this.#startedAt = parts.clock.now();
    const time = options.deadline ?? parts.deadline;
    // What expires is noticed up to a tick late.
    this.#deadline = this.#startedAt + time - Math.min(TICK, time / 2);
  }

  async run(): Promise<Answer<T>> {
    const { telemetry, policies, clock } = this.#parts;
    this.#span = telemetry.startCall(this.#traits.operation);
    let answer: Answer<T> | undefined;
    try {
      this.#mayGoOn();
      if (policies.length > 0) await this.#consultPolicies();
      const pinning = this.#pin();
      if (pinning) await pinning;
      this.#narrow();
      answer = await this.#settle();
      return answer;
    } catch (error) {
      if (!this.failure || error instanceof CallCancelledError) this.failure = failureOfCall(error);
      throw error;
    } finally {
      const latency = clock.now() - this.#startedAt;
      telemetry.endCall(this.#span, this.#traits.operation, latency, answer?.serverId, this.failure);
      if (policies.length > 0) this.#tellPolicies(answer, latency);
    }
  }

  /** Nothing more is begun once the caller has gone, the pool has closed or time is up. */
  #mayGoOn(): void {
    const { signal } = this.#options;
    const { signal: closing, clock } = this.#parts;
    if (signal?.aborted) throw new CallCancelledError(this.#traits.operation, signal.reason);
    if (closing.aborted) throw closing.reason;
    if (clock.now() >= this.#deadline) throw this.#deadlineExceeded();
  }

  /** Waits for something that knows nothing of this call's deadline. */
  async #patiently<R>(work: MaybePromise<R>): Promise<R> {
    if (!(work instanceof Promise)) return work;
    try {
      return await within(work, this.#parts.deadlines, this.#deadline, this.#options.signal);
    } catch (error) {
      this.#mayGoOn();
      throw error;
    }
  }

  #policyCall(): PolicyCall<W> {
    return { pool: this.#parts.pool, request: this.#request, traits: this.#traits, caller: this.#caller };
  }

  async #consultPolicies(): Promise<void> {
    for (const policy of this.#parts.policies) {
      const ruling = await this.#patiently(policy.before?.(this.#policyCall()));
      if (!ruling) continue;
      if ("deny" in ruling) throw new PolicyDeniedError(this.#traits.operation, ruling.deny);
      this.#request = ruling.request;
      this.#traits = this.#parts.transport.traits(this.#request);
    }
  }

  #tellPolicies(answer: Answer<T> | undefined, latency: number): void {
    const result = {
      latency,
      ...(answer && { serverId: answer.serverId }),
      ...(this.failure && { failure: this.failure }),
    };
    for (const policy of this.#parts.policies) {
      try {
        policy.after?.(this.#policyCall(), result);
      } catch (error) {
        this.#parts.log.error("A policy failed after a call.", { error: describeError(error) });
      }
    }
  }

  /** Finds the one server that must take the call, if there is such a one. */
  #pin(): Promise<void> | undefined {
    const { servers } = this.#parts;
    const { serverId } = this.#options;
    if (serverId === undefined) return this.#traits.boundTo ? this.#findOwner(this.#traits.boundTo) : undefined;
    const server = servers.get(serverId);
    if (!server) throw new UnknownServerError(serverId, [...servers.keys()]);
    this.#pinTo(server);
    return undefined;
  }

  #pinTo(server: Server<W>): void {
    if (!server.enabled) throw new ServerDisabledError(server.serverId);
    this.#pinned = server;
  }

  async #findOwner(keys: readonly string[]): Promise<void> {
    const { servers, affinity } = this.#parts;
    const owners = new Set<string>();
    for (const key of keys) {
      const owner = await this.#patiently(affinity.get(key));
      if (owner !== undefined) owners.add(owner);
    }
    const [owner] = owners;
    if (owners.size > 1) throw new AffinityConflictError(this.#traits.operation, [...owners]);
    const [only] = servers.size === 1 ? servers.values() : [];
    const server = owner === undefined ? only : (servers.get(owner) ?? only);
    if (server) this.#pinTo(server);
    else if (this.#traits.repeat !== "safe")
      throw new AffinityUnknownError(this.#traits.operation, [...servers.keys()]);
  }

  /** Puts together, once, which servers may take the request at all. */
  #narrow(): void {
    const { transport, policies } = this.#parts;
    const judges = policies.filter((policy) => policy.allows !== undefined);
    if (judges.length > 0) {
      const call = this.#policyCall();
      this.#allowed = (server) => judges.every((policy) => policy.allows?.(call, server));
    }
    const allowed = this.#allowed;
    this.#admits = transport.serves
      ? (server) =>
          (transport.serves?.(server.profile, this.#request) ?? true) && (allowed === undefined || allowed(server))
      : allowed;
  }

  async #settle(): Promise<Answer<T>> {
    for (;;) {
      const next = this.#nextServer();
      const server = next instanceof Promise ? await next : next;
      const settled = await this.#attempt(server);
      if ("answer" in settled) return settled.answer;
      this.#again = settled.on === "same" ? server : this.#preferred(settled.prefer);
      if (settled.delay > 0) {
        const { deadlines, clock } = this.#parts;
        await pause(deadlines, clock.now() + settled.delay, this.#options.signal);
      }
    }
  }

  /** Of the servers that the policy prefers, the first one that can be tried. */
  #preferred(serverIds: readonly string[] | undefined): Server<W> | undefined {
    for (const serverId of serverIds ?? []) {
      const server = this.#parts.servers.get(serverId);
      if (!server?.enabled || this.#tried?.has(serverId) || !server.record.usable) continue;
      if (!this.#admits || this.#admits(server)) return server;
    }
    return undefined;
  }

  /** A server whose slot is taken. */
  #nextServer(): MaybePromise<Server<W>> {
    try {
      this.#mayGoOn();
      return this.#choose() ?? this.#waitForSlot();
    } catch (error) {
      throw this.#honestly(error);
    }
  }

  async #waitForSlot(): Promise<Server<W>> {
    try {
      return await this.#parts.limiter.wait(this.#choose, this.#deadline, this.#options.signal);
    } catch (error) {
      try {
        this.#mayGoOn();
      } catch (why) {
        throw this.#honestly(why);
      }
      throw this.#honestly(error);
    }
  }

  /** Undefined when every candidate is busy. */
  readonly #choose = (): Server<W> | undefined => {
    const candidates = this.#candidates();
    if (candidates.length === 0) throw this.#nobody();
    const free = withSlots(candidates);
    const [first] = free;
    if (!first) return undefined;
    const server =
      free.length === 1 ? first : this.#select(withShares(free, this.#parts.random) as [Server<W>, ...Server<W>[]]);
    this.#trial = server.take();
    return server;
  };

  /** The selector's choice; the first candidate if it fails to make one. */
  #select(candidates: readonly [Server<W>, ...Server<W>[]]): Server<W> {
    const { selector, log } = this.#parts;
    let error: unknown;
    try {
      const server = selector.select(candidates, this.#traits) as Server<W>;
      if (candidates.includes(server)) return server;
    } catch (thrown) {
      error = thrown;
    }
    log.error("The strategy chose none of the candidates.", error === undefined ? {} : { error: describeError(error) });
    return candidates[0];
  }

  #candidates(): readonly Server<W>[] {
    const { servers, candidates, writes } = this.#parts;
    const only = this.#pinned ?? this.#again;
    if (only) {
      if (servers.get(only.serverId) !== only || !only.enabled) return [];
      return this.#allowed === undefined || this.#allowed(only) ? [only] : [];
    }
    const admits = this.#admits;
    const primaryOnly = writes === "primary" && this.#traits.repeat !== "safe";
    const fresh = candidates.for({ tried: this.#tried, admits, primaryOnly });
    if (fresh.length > 0 || !this.#tried) return fresh;
    // Everybody was tried: ask again, the one that failed last only if there is no other.
    const last = new Set(this.#attempts.slice(-1).map((attempt) => attempt.serverId));
    const others = candidates.for({ tried: last, admits, primaryOnly });
    return others.length > 0 ? others : candidates.for({ tried: undefined, admits, primaryOnly });
  }

  #noteFailover(server: Server<W>): void {
    const last = this.#attempts.at(-1);
    if (!last?.failure || last.serverId === server.serverId) return;
    this.failedOver = true;
    this.#parts.failedOver(last.serverId, server.serverId, this.#traits.operation, last.failure);
  }

  /** Runs one attempt and says what follows. Throws the call's error when nothing does. */
  async #attempt(server: Server<W>): Promise<Settled<T>> {
    const { telemetry, deadlines, clock, minimumRate, attemptEnded } = this.#parts;
    const { operation } = this.#traits;
    this.#first ??= server;
    const attempt = new RunningAttempt<W>(server, this.#attempts.length + 1, this.#caller, this.#trial, {
      clock,
      deadlines,
      ...this.#timeouts(server),
      deadline: this.#deadline,
      minimumRate,
      signal: this.#options.signal,
      streamed: this.#consume === undefined,
      resume: this.#resume,
      ended: attemptEnded,
    });
    const traced = this.#span && telemetry.startAttempt(this.#span, operation, server.serverId, attempt.ordinal);
    try {
      this.#noteFailover(server);
      return await attempt.whileRunning(
        traced ? telemetryContext.with(traced.context, () => this.#work(attempt)) : this.#work(attempt),
      );
    } catch (error) {
      return this.#failed(attempt, error);
    } finally {
      telemetry.endAttempt(traced?.span, server.serverId, operation, attempt.latency, attempt.failure);
      attempt.end();
    }
  }

  async #work(attempt: RunningAttempt<W>): Promise<Settled<T>> {
    const { transport, servers } = this.#parts;
    const received = await this.#send(attempt);
    let response = received;
    try {
      attempt.signal.throwIfAborted();
      attempt.latency = attempt.elapsed;
      attempt.failure = transport.judge(response);
      if (attempt.failure) {
        const decision = this.#decide(attempt, attempt.failure, "answered");
        if (decision) {
          transport.discard(response);
          return decision;
        }
        this.#attempts.pop();
      } else {
        const changes = servers.size > 1 ? transport.affinity?.(this.#request, response) : undefined;
        if (changes && changes.length > 0) await this.#learn(attempt, changes);
        if (this.#mayBeDone()) response = await this.#verified(response, attempt);
      }
      const value = this.#consume ? await this.#consume(response, attempt) : (response as T);
      // What ignored the end of its attempt has come too late.
      attempt.signal.throwIfAborted();
      return this.#answer(attempt, value);
    } catch (error) {
      // Nobody will read it now.
      transport.discard(response);
      throw error;
    }
  }

  async #send(attempt: RunningAttempt<W>): Promise<W["response"]> {
    attempt.signal.throwIfAborted();
    let connection = this.#connection(attempt);
    if (connection instanceof Promise) {
      connection = await connection;
      attempt.signal.throwIfAborted();
    }
    return connection.send(this.#request, attempt);
  }

  #connection({ server, connections }: RunningAttempt<W>) {
    const partition = this.#parts.transport.partition?.(server.profile, this.#caller) ?? "";
    return connections.get(partition, this.#caller);
  }

  /** An earlier attempt may have done what this one was to do. */
  #mayBeDone(): boolean {
    return this.#traits.repeat !== "safe" && this.#attempts.some((earlier) => earlier.outcome === "unknown");
  }

  /** The answer to give when the work is found done; the transport can tell. */
  async #verified(response: W["response"], attempt: RunningAttempt<W>): Promise<W["response"]> {
    const { transport } = this.#parts;
    const connection = await this.#connection(attempt);
    const done = await transport.verify?.(this.#request, response, (question) => connection.send(question, attempt));
    if (done === undefined) return response;
    if (done !== response) transport.discard(response);
    return done;
  }

  /** The answer is good, whether or not its owner can be remembered. */
  async #learn({ serverId }: RunningAttempt<W>, changes: readonly AffinityChange[]): Promise<void> {
    const { affinity, log } = this.#parts;
    try {
      for (const change of changes) {
        if ("learn" in change) await affinity.set(change.learn, serverId, change.ttl);
        else await affinity.delete(change.forget);
      }
    } catch (error) {
      log.warn("It could not be remembered which server owns a lock.", { serverId, error: describeError(error) });
    }
  }

  #answer({ serverId, latency, failure }: RunningAttempt<W>, value: T): Settled<T> {
    this.#attempts.push({ serverId, outcome: "answered", latency, ...(failure && { failure }) });
    this.failure = failure;
    return { answer: { value, serverId, attempts: this.#attempts } };
  }

  /** A streamed body broke off, and its connection would fetch the rest. */
  readonly #resume = ({ serverId, elapsed }: RunningAttempt<W>, failure: Failure): boolean => {
    const { retryAttempts } = (this.#first as Server<W>).profile;
    if (this.#attempts.length > retryAttempts || !this.#parts.budget.withdraw()) return false;
    // The answer has been handed over with this list, which tells as well what happens to its body.
    this.#attempts.push({ serverId, outcome: "answered", latency: elapsed, failure });
    return true;
  };

  #failed(attempt: RunningAttempt<W>, error: unknown): Settled<T> {
    attempt.latency = attempt.elapsed;
    const failure = this.#meaning(attempt, error);
    attempt.failure = failure;
    if (failure.kind === "invalid") {
      this.failure = failure;
      throw this.#honestly(error);
    }
    const decision = this.#decide(attempt, failure, attempt.wasSent ? "unknown" : "failed");
    if (decision) return decision;
    throw this.#giveUp(failure);
  }

  /** What an error means, in view of whether anything was sent: codes cannot tell, and the attempt knows. */
  #meaning(attempt: RunningAttempt<W>, error: unknown): Failure {
    const failure = attempt.ended ?? this.#parts.transport.explain(error);
    if (attempt.wasSent) return failure.kind === "unsent" ? { ...failure, kind: "broken" } : failure;
    return failure.kind === "broken" || failure.kind === "timeout" ? { ...failure, kind: "unsent" } : failure;
  }

  /** Records the failed attempt and asks the policy. Undefined: settle. The engine's own limits come first. */
  #decide(
    { serverId, latency, server }: RunningAttempt<W>,
    failure: Failure,
    outcome: AttemptRecord["outcome"],
  ): Retry | undefined {
    const { clock, failover, budget, random, log } = this.#parts;
    this.#attempts.push({ serverId, outcome, latency, failure });
    this.#tried = (this.#tried ?? new Set()).add(serverId);
    this.failure = failure;
    const { profile } = this.#first ?? server;
    // A body that flowed and cannot flow again makes any request one that must not be repeated.
    const repeat = this.#traits.replayable || outcome === "failed" ? this.#traits.repeat : "neither";
    if (repeat === "neither" && outcome !== "failed") return undefined;
    const remaining = this.#deadline - clock.now();
    if (remaining <= 0 || failure.kind === "cancelled" || this.#attempts.length > profile.retryAttempts)
      return undefined;

    let decision: FailoverDecision;
    try {
      decision = failover.decide({
        traits: repeat === this.#traits.repeat ? this.#traits : { ...this.#traits, repeat },
        attempts: this.#attempts as [AttemptRecord, ...AttemptRecord[]],
        remaining,
        untried: this.#untried(),
        pinned: this.#pinned !== undefined,
        profile,
        random,
      });
    } catch (error) {
      log.error("The failover policy failed; the call ends here.", { error: describeError(error) });
      return undefined;
    }
    if (decision.action === "settle" || decision.delay >= remaining) return undefined;
    if (decision.charge && !budget.withdraw()) return undefined;
    return decision;
  }

  /** Servers that may take the request and were not tried. */
  #untried(): number {
    if (this.#pinned) return 0;
    let count = 0;
    for (const server of this.#parts.servers.values())
      if (server.enabled && !this.#tried?.has(server.serverId) && (!this.#admits || this.#admits(server))) count++;
    return count;
  }

  /** A server's own timeout, but never more than leaves time for the servers that could still be asked. */
  #timeouts(server: Server<W>): { readonly timeout: number; readonly timeoutOnceSent: number } {
    const remaining = this.#deadline - this.#parts.clock.now();
    const own = Math.min(server.profile.timeout, remaining);
    const { retryAttempts } = (this.#first ?? server).profile;
    const retriesLeft = Math.max(0, retryAttempts - this.#attempts.length);
    // The server about to be tried counts among the untried ones.
    const others = retriesLeft > 0 ? Math.min(retriesLeft, Math.max(0, this.#untried() - 1)) : 0;
    const timeout = Math.min(own, remaining / (1 + others));
    const mayMove = this.#traits.repeat !== "neither" && this.#traits.replayable;
    return { timeout, timeoutOnceSent: mayMove ? timeout : own };
  }

  /** The error of a call that ends without an answer. */
  #giveUp(failure: Failure): unknown {
    if (failure.blame === "caller") return new CallCancelledError(this.#traits.operation, failure.cause);
    // What kept a request from being sent says more itself: a secret that cannot be read, a pool that was closed.
    if (isDavpoolError(failure.cause) && failure.blame === "request") return this.#honestly(failure.cause);
    return this.#honestly(this.#parts.clock.now() >= this.#deadline ? this.#deadlineExceeded() : this.#noServer());
  }

  /** Whatever ended the call: what may have been carried out unseen is more important, unless nobody listens. */
  #honestly(error: unknown): unknown {
    if (error instanceof CallCancelledError || !this.#mayBeDone()) return error;
    return new OutcomeUnknownError(this.#traits.operation, this.#attempts);
  }

  #deadlineExceeded(): Error {
    const deadline = this.#options.deadline ?? this.#parts.deadline;
    return new DeadlineExceededError(this.#traits.operation, deadline, this.#attempts);
  }

  /** There is no candidate: because of the policies, or of the servers. */
  #nobody(): Error {
    const { servers } = this.#parts;
    const allowed = this.#allowed;
    const asked = this.#pinned ? [this.#pinned] : [...servers.values()].filter((server) => server.enabled);
    if (allowed && asked.length > 0 && !asked.some(allowed)) {
      const ids = asked.map((server) => server.serverId).join(", ");
      return new PolicyDeniedError(this.#traits.operation, `no server is left that the policies allow it on (${ids})`);
    }
    return this.#noServer();
  }

  #noServer(): Error {
    if (this.#pinned && this.#options.serverId === undefined && this.#parts.servers.size > 1)
      return new AffinityUnavailableError(this.#traits.operation, this.#pinned.serverId, this.#attempts);
    const reports = [...this.#parts.servers.values()].map((server): ServerReport => {
      const last = this.#attempts.findLast((attempt) => attempt.serverId === server.serverId);
      const problem = last?.failure?.message ?? server.record.problem;
      return {
        serverId: server.serverId,
        status: server.enabled ? server.health : "disabled",
        ...(problem !== undefined && { problem }),
      };
    });
    return new NoServerAvailableError(this.#parts.pool, reports, this.#attempts);
  }
}

/** Without some of those that have just recovered, so that their share grows little by little; never without all. */
function withShares<W extends Wire>(candidates: readonly Server<W>[], random: () => number): readonly Server<W>[] {
  let [least, most] = [1, 0];
  for (const { record } of candidates) {
    const { share } = record;
    if (share < least) least = share;
    if (share > most) most = share;
  }
  // All of them have the same share, which is the rule.
  if (least >= most) return candidates;
  const draw = random() * most;
  return candidates.filter(({ record }) => record.share > draw);
}

function withSlots<W extends Wire>(candidates: readonly Server<W>[]): readonly Server<W>[] {
  for (const candidate of candidates) {
    if (!candidate.free) return candidates.filter((server) => server.free);
  }
  return candidates;
}
