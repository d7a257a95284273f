import { context as telemetryContext, type Span } from "@opentelemetry/api";
import type { AffinityStore } from "../contracts/affinity-store.ts";
import type { Clock } from "../contracts/clock.ts";
import type { AttemptRecord, FailoverPolicy } from "../contracts/failover-policy.ts";
import type { Failure } from "../contracts/failure.ts";
import type { Policy, PolicyCall } from "../contracts/policy.ts";
import type { Answer, CallOptions, Consume } from "../contracts/pool.ts";
import type { RequestTraits } from "../contracts/request-traits.ts";
import type { Selector } from "../contracts/selector.ts";
import type { Transport } from "../contracts/transport.ts";
import type { Caller, Wire } from "../contracts/wire.ts";
import {
  AffinityConflictError,
  AffinityUnknownError,
  CallCancelledError,
  DeadlineExceededError,
  NoServerAvailableError,
  OutcomeUnknownError,
  PolicyDeniedError,
  PoolExhaustedError,
  type ServerReport,
} from "../errors/call-errors.ts";
import { type DavpoolError, describeError, isDavpoolError } from "../errors/davpool-error.ts";
import { ServerDisabledError, UnknownServerError } from "../errors/server-errors.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import { TICK, type Deadlines } from "../time/deadlines.ts";
import { RunningAttempt } from "./attempt.ts";
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
  /** Told how each attempt ended, once its body is through. */
  readonly attemptEnded: (server: Server<W>, failure: Failure | undefined, latency: number) => void;
  readonly failedOver: (from: string, to: string, operation: string, failure: Failure) => void;
}

/** How a call ended, for statistics. */
export interface CallEnd {
  readonly failure: Failure | undefined;
  readonly failedOver: boolean;
}

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
  #tried: Set<string> | undefined;
  #first: Server<W> | undefined;
  #span: Span | undefined;
  #running: RunningAttempt<W> | undefined;
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
    this.#deadline = this.#startedAt + (options.deadline ?? parts.deadline) - TICK;
  }

  get operation(): string {
    return this.#traits.operation;
  }

  async run(): Promise<Answer<T>> {
    const { telemetry, policies, clock } = this.#parts;
    const { signal } = this.#options;
    this.#span = telemetry.startCall(this.#traits.operation);
    let answer: Answer<T> | undefined;
    const cancel = () => this.#running?.stop(cancelled(signal?.reason));
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      if (signal?.aborted) throw new CallCancelledError(this.#traits.operation, signal.reason);
      if (policies.length > 0) await this.#consultPolicies();
      await this.#pin();
      answer = await this.#settle();
      return answer;
    } catch (error) {
      this.failure ??= { kind: "invalid", blame: "request", message: describeError(error), cause: error };
      throw error;
    } finally {
      signal?.removeEventListener("abort", cancel);
      const latency = clock.now() - this.#startedAt;
      telemetry.endCall(this.#span, this.#traits.operation, latency, answer?.serverId, this.failure);
      for (const policy of policies) {
        policy.after?.(this.#policyCall(), {
          latency,
          ...(answer && { serverId: answer.serverId }),
          ...(this.failure && { failure: this.failure }),
        });
      }
    }
  }

  #policyCall(): PolicyCall<W> {
    return { pool: this.#parts.pool, request: this.#request, traits: this.#traits, caller: this.#caller };
  }

  async #consultPolicies(): Promise<void> {
    for (const policy of this.#parts.policies) {
      const ruling = await policy.before?.(this.#policyCall());
      if (!ruling) continue;
      if ("deny" in ruling) throw new PolicyDeniedError(this.#traits.operation, ruling.deny);
      this.#request = ruling.request;
      this.#traits = this.#parts.transport.traits(this.#request);
    }
  }

  /** Finds the one server that must take the call, if there is such a one. */
  #pin(): Promise<void> | undefined {
    const { servers } = this.#parts;
    const { serverId } = this.#options;
    if (serverId !== undefined) {
      const server = servers.get(serverId);
      if (!server) throw new UnknownServerError(serverId, [...servers.keys()]);
      if (!server.enabled) throw new ServerDisabledError(serverId);
      this.#pinned = server;
      return undefined;
    }
    return this.#traits.boundTo ? this.#findOwner(this.#traits.boundTo) : undefined;
  }

  async #findOwner(keys: readonly string[]): Promise<void> {
    const { servers, affinity } = this.#parts;
    const owners = new Set<string>();
    for (const key of keys) {
      const owner = await affinity.get(key);
      if (owner !== undefined) owners.add(owner);
    }
    const [owner] = owners;
    if (owners.size > 1) throw new AffinityConflictError(this.#traits.operation, [...owners]);
    if (owner !== undefined && servers.has(owner)) this.#pinned = servers.get(owner);
    else if (servers.size === 1) [this.#pinned] = servers.values();
    else if (this.#traits.repeat !== "safe")
      throw new AffinityUnknownError(this.#traits.operation, [...servers.keys()]);
  }

  async #settle(): Promise<Answer<T>> {
    for (;;) {
      const chosen = this.#choose();
      const server = chosen ?? (await this.#waitForSlot());
      if (this.#first === undefined) this.#first = server;
      this.#noteFailover(server);
      const settled = await this.#attempt(server);
      if ("answer" in settled) return settled.answer;
      if (settled.delay > 0) await this.#pause(settled.delay);
      if (settled.on === "same") this.#pinned = server;
    }
  }

  /** A server whose slot is taken; undefined when every candidate is busy. */
  readonly #choose = (): Server<W> | undefined => {
    const candidates = this.#candidates();
    if (candidates.length === 0) throw this.#noServer();
    const free = withSlots(candidates);
    const [first] = free;
    if (!first) return undefined;
    const server =
      free.length === 1
        ? first
        : (this.#parts.selector.select(free as [Server<W>, ...Server<W>[]], this.#traits) as Server<W>);
    server.take();
    return server;
  };

  #candidates(): readonly Server<W>[] {
    if (this.#pinned) return [this.#pinned];
    const { transport, policies, candidates, writes } = this.#parts;
    const call = policies.some((policy) => policy.allows !== undefined) ? this.#policyCall() : undefined;
    const admits =
      call || transport.serves
        ? (server: Server<W>) =>
            (transport.serves?.(server.profile, this.#request) ?? true) &&
            (!call || policies.every((policy) => policy.allows?.(call, server) ?? true))
        : undefined;
    const primaryOnly = writes === "primary" && this.#traits.repeat !== "safe";
    const fresh = candidates.for({ tried: this.#tried, admits, primaryOnly });
    if (fresh.length > 0 || !this.#tried) return fresh;
    // Everybody was tried: ask again, the one that failed last only if there is no other.
    const last = new Set(this.#attempts.slice(-1).map((attempt) => attempt.serverId));
    const others = candidates.for({ tried: last, admits, primaryOnly });
    return others.length > 0 ? others : candidates.for({ tried: undefined, admits, primaryOnly });
  }

  async #waitForSlot(): Promise<Server<W>> {
    const { signal } = this.#options;
    try {
      return await this.#parts.limiter.wait(this.#choose, this.#deadline, signal);
    } catch (error) {
      if (signal?.aborted) {
        this.failure = cancelled(signal.reason);
        throw new CallCancelledError(this.#traits.operation, signal.reason);
      }
      if (error instanceof PoolExhaustedError && this.#parts.clock.now() >= this.#deadline) {
        this.failure = { kind: "timeout", blame: "request", message: error.message };
        throw this.#deadlineExceeded();
      }
      throw error;
    }
  }

  #noteFailover(server: Server<W>): void {
    const last = this.#attempts.at(-1);
    if (!last?.failure || last.serverId === server.serverId) return;
    this.failedOver = true;
    this.#parts.failedOver(last.serverId, server.serverId, this.#traits.operation, last.failure);
  }

  /** Runs one attempt and says what follows. Throws the call's error when nothing does. */
  async #attempt(server: Server<W>): Promise<{ answer: Answer<T> } | { on: "same" | "other"; delay: number }> {
    const { transport, telemetry, deadlines, clock, minimumRate, attemptEnded } = this.#parts;
    const { operation } = this.#traits;
    let latency = 0;
    let judged: Failure | undefined;
    const attempt = new RunningAttempt<W>(
      server,
      this.#attempts.length + 1,
      this.#caller,
      { clock, deadlines, timeout: this.#timeout(server), deadline: this.#deadline, minimumRate },
      (_server, bodyFailure) => attemptEnded(server, judged ?? bodyFailure, latency),
    );
    this.#running = attempt;
    const traced = this.#span && telemetry.startAttempt(this.#span, operation, server.serverId, attempt.ordinal);
    const closing = () => attempt.stop(poolClosing(this.#parts.signal.reason));
    this.#parts.signal.addEventListener("abort", closing, { once: true });
    try {
      const response = await (traced
        ? telemetryContext.with(traced.context, () => this.#send(attempt))
        : this.#send(attempt));
      latency = attempt.elapsed;
      judged = transport.judge(response);
      if (!judged) {
        await this.#learn(server, response);
        const final = await this.#verified(response, attempt);
        const value = await this.#read(final, attempt);
        return { answer: this.#answer(server, value, latency, undefined) };
      }
      const decision = this.#decide(server, judged, latency, "answered");
      if (decision) {
        transport.discard(response);
        return decision;
      }
      const value = await this.#read(response, attempt);
      this.#attempts.pop();
      return { answer: this.#answer(server, value, latency, judged) };
    } catch (error) {
      latency = attempt.elapsed;
      judged = attempt.ended ?? this.#explain(error, attempt);
      if (judged.kind === "invalid") throw error;
      const outcome = judged.kind === "unsent" || !attempt.wasSent ? "failed" : "unknown";
      const decision = this.#decide(server, judged, latency, outcome);
      if (decision) return decision;
      throw this.#giveUp(judged);
    } finally {
      this.#parts.signal.removeEventListener("abort", closing);
      this.#running = undefined;
      telemetry.endAttempt(traced?.span, server.serverId, operation, latency, judged);
      attempt.end();
    }
  }

  async #send(attempt: RunningAttempt<W>): Promise<W["response"]> {
    const { transport } = this.#parts;
    const { server } = attempt;
    const partition = transport.partition?.(server.profile, this.#caller) ?? "";
    const connection = server.connection(partition, this.#caller);
    if (!(connection instanceof Promise)) return connection.send(this.#request, attempt);
    const opened = await connection;
    attempt.signal.throwIfAborted();
    return opened.send(this.#request, attempt);
  }

  #read(response: W["response"], attempt: RunningAttempt<W>): Promise<T> | T {
    return this.#consume ? this.#consume(response, attempt) : (response as T);
  }

  /** A repeat of something whose first outcome is unknown may find the work done; the transport can tell. */
  async #verified(response: W["response"], attempt: RunningAttempt<W>): Promise<W["response"]> {
    const { transport } = this.#parts;
    if (!transport.verify || !this.#attempts.some((earlier) => earlier.outcome === "unknown")) return response;
    const { server } = attempt;
    const connection = await server.connection(transport.partition?.(server.profile, this.#caller) ?? "", this.#caller);
    const done = await transport.verify(this.#request, response, (question) => connection.send(question, attempt));
    if (done === undefined) return response;
    transport.discard(response);
    return done;
  }

  async #learn(server: Server<W>, response: W["response"]): Promise<void> {
    const { transport, servers, affinity } = this.#parts;
    if (servers.size === 1 || !transport.affinity) return;
    for (const change of transport.affinity(this.#request, response)) {
      if ("learn" in change) await affinity.set(change.learn, server.serverId, change.ttl);
      else await affinity.delete(change.forget);
    }
  }

  #answer(server: Server<W>, value: T, latency: number, failure: Failure | undefined): Answer<T> {
    const { serverId } = server;
    this.#attempts.push({ serverId, outcome: "answered", latency, ...(failure && { failure }) });
    this.failure = failure;
    return { value, serverId, attempts: this.#attempts };
  }

  /** Records the failed attempt and asks the policy. Undefined: settle. The engine's own limits come first. */
  #decide(
    server: Server<W>,
    failure: Failure,
    latency: number,
    outcome: AttemptRecord["outcome"],
  ): { on: "same" | "other"; delay: number } | undefined {
    const { clock, failover, budget, random } = this.#parts;
    this.#attempts.push({ serverId: server.serverId, outcome, latency, failure });
    this.#tried = (this.#tried ?? new Set()).add(server.serverId);
    this.failure = failure;
    // A body that flowed and cannot flow again makes any request one that must not be repeated.
    const repeat = this.#traits.replayable || outcome === "failed" ? this.#traits.repeat : "neither";
    const remaining = this.#deadline - clock.now();
    const mayNotRepeat = repeat === "neither" && outcome !== "failed";
    if (mayNotRepeat || remaining <= 0 || failure.blame === "caller") return undefined;

    const decision = failover.decide({
      traits: repeat === this.#traits.repeat ? this.#traits : { ...this.#traits, repeat },
      attempts: this.#attempts as [AttemptRecord, ...AttemptRecord[]],
      remaining,
      untried: this.#untried(),
      pinned: this.#pinned !== undefined,
      profile: (this.#first ?? server).profile,
      random,
    });
    if (decision.action === "settle" || decision.delay >= remaining) return undefined;
    if (decision.charge && !budget.withdraw()) return undefined;
    return { on: decision.on, delay: decision.delay };
  }

  #untried(): number {
    if (this.#pinned) return 0;
    let count = 0;
    for (const server of this.#parts.servers.values())
      if (server.enabled && !this.#tried?.has(server.serverId)) count++;
    return count;
  }

  /** A server's own timeout, but never more than leaves time for the servers that could still be asked. */
  #timeout(server: Server<W>): number {
    const remaining = this.#deadline - this.#parts.clock.now();
    const { retryAttempts } = (this.#first ?? server).profile;
    const retriesLeft = Math.max(0, retryAttempts - this.#attempts.length);
    const mayMove = this.#traits.repeat !== "neither" && this.#traits.replayable;
    // The server about to be tried counts among the untried ones.
    const others = mayMove ? Math.min(retriesLeft, Math.max(0, this.#untried() - 1)) : 0;
    return Math.min(server.profile.timeout, remaining / (1 + others));
  }

  #explain(error: unknown, attempt: RunningAttempt<W>): Failure {
    // What went wrong before the transport was asked: credentials, for one.
    const failure = this.#parts.transport.explain(error);
    if (attempt.wasSent || failure.kind === "unsent") return failure;
    return failure.kind === "broken" || failure.kind === "timeout" ? { ...failure, kind: "unsent" } : failure;
  }

  /** The error of a call that ends without an answer. */
  #giveUp(failure: Failure): Error {
    const { operation, repeat } = this.#traits;
    if (failure.blame === "caller") return new CallCancelledError(operation, failure.cause);
    if (isDavpoolError(failure.cause) && failure.blame === "request") return failure.cause;
    const unknown = this.#attempts.some((attempt) => attempt.outcome === "unknown");
    if (repeat !== "safe" && unknown) return new OutcomeUnknownError(operation, this.#attempts);
    if (this.#parts.clock.now() >= this.#deadline) return this.#deadlineExceeded();
    return this.#noServer();
  }

  #deadlineExceeded(): Error {
    const deadline = this.#options.deadline ?? this.#parts.deadline;
    return new DeadlineExceededError(this.#traits.operation, deadline, this.#attempts);
  }

  #noServer(): DavpoolError {
    const reports = [...this.#parts.servers.values()].map((server): ServerReport => {
      const last = this.#attempts.findLast((attempt) => attempt.serverId === server.serverId);
      const problem = last?.failure?.message ?? server.record.problem;
      return {
        serverId: server.serverId,
        status: server.enabled ? server.health : "disabled",
        ...(problem !== undefined && { problem }),
      };
    });
    const error = new NoServerAvailableError(this.#parts.pool, reports, this.#attempts);
    this.failure ??= { kind: "unsent", blame: "request", message: "no server may take the request" };
    return error;
  }

  async #pause(delay: number): Promise<void> {
    const { signal } = this.#options;
    const { clock, signal: closing } = this.#parts;
    const stop = signal ? AbortSignal.any([signal, closing]) : closing;
    await new Promise<void>((resolve) => {
      const done = () => {
        timer[Symbol.dispose]();
        stop.removeEventListener("abort", done);
        resolve();
      };
      const timer = clock.after(delay, done);
      stop.addEventListener("abort", done, { once: true });
    });
    if (signal?.aborted) {
      this.failure = cancelled(signal.reason);
      throw new CallCancelledError(this.#traits.operation, signal.reason);
    }
  }
}

function withSlots<W extends Wire>(candidates: readonly Server<W>[]): readonly Server<W>[] {
  for (const candidate of candidates) {
    if (!candidate.free) return candidates.filter((server) => server.free);
  }
  return candidates;
}

function cancelled(cause: unknown): Failure {
  return { kind: "cancelled", blame: "caller", message: "the caller went away", cause };
}

function poolClosing(cause: unknown): Failure {
  return { kind: "cancelled", blame: "request", message: "the pool was closed", cause };
}
