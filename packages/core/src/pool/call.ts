import { context as telemetryContext, type Span } from "@opentelemetry/api";
import type { AffinityChange } from "../contracts/affinity-store.ts";
import type { Clock } from "../contracts/clock.ts";
import type { CredentialSource } from "../contracts/credential-source.ts";
import type { AttemptRecord, FailoverDecision, FailoverPolicy } from "../contracts/failover-policy.ts";
import type { Failure } from "../contracts/failure.ts";
import type { PolicyCall } from "../contracts/policy.ts";
import type { Answer, CallOptions, Consume } from "../contracts/pool.ts";
import type { RequestTraits } from "../contracts/request-traits.ts";
import type { Caller, MaybePromise, Wire } from "../contracts/wire.ts";
import {
  AnswerIncompleteError,
  CallCancelledError,
  DeadlineExceededError,
  OutcomeUnknownError,
} from "../errors/call-errors.ts";
import { describeError, isDavpoolError } from "../errors/davpool-error.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import { TICK, type Deadlines } from "../time/deadlines.ts";
import { patience, pause, within } from "../time/patience.ts";
import { RunningAttempt } from "./attempt.ts";
import { credentialFailure, failureOfCall } from "./call-failure.ts";
import { firstAnswer, type Hedging } from "./hedging.ts";
import { affinityKey } from "./partition.ts";
import type { Limiter } from "./limiter.ts";
import type { RetryBudget } from "./retry-budget.ts";
import { Route, type RouteParts } from "./route.ts";
import type { Server } from "./server.ts";

/** What a call needs of its pool. A call keeps the parts it began with, even when the pool's are replaced. */
export interface CallParts<W extends Wire> extends RouteParts<W> {
  readonly failover: FailoverPolicy;
  readonly limiter: Limiter<W>;
  readonly budget: RetryBudget;
  /** Absent where requests wait for their server. */
  readonly hedging: Hedging | undefined;
  readonly deadlines: Deadlines;
  readonly telemetry: Telemetry;
  readonly credentials: CredentialSource;
  readonly clock: Clock;
  /** Aborts when the pool closes. */
  readonly signal: AbortSignal;
  /** Milliseconds. */
  readonly deadline: number;
  /** Bytes per millisecond. */
  readonly minimumRate: number;
  /** Of answers that speak about the server when they repeat. */
  readonly rejectionCodes: ReadonlySet<string | number>;
  /** Told how each attempt ended, once its body is through. */
  readonly attemptEnded: (attempt: RunningAttempt<W>) => void;
  /** An attempt gave its slot back before its end. */
  readonly slotFreed: () => void;
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
  /** Attempts that were begun. */
  #begun = 0;
  #request: W["request"];
  #traits: RequestTraits;
  readonly #route: Route<W>;
  #first: Server<W> | undefined;
  #span: Span | undefined;
  /** The failure that the settled answer stands for, or the error's. */
  failure: Failure | undefined;
  failedOver = false;
  /** One of two attempts that run at one time has given the answer. */
  #answered = false;
  #refusal: string | number | undefined;

  constructor(parts: CallParts<W>, request: W["request"], options: CallOptions, consume: Consume<W, T> | undefined) {
    this.#parts = parts;
    this.#options = options;
    this.#consume = consume;
    this.#caller = options.caller ?? NOBODY;
    this.#request = request;
    this.#traits = parts.transport.traits(request);
    this.#route = new Route(parts, this.#caller, this.#traits, this.#attempts);
    this.#startedAt = parts.clock.now();
    const time = options.deadline ?? parts.deadline;
    // What expires is noticed up to a tick late.
    this.#deadline = this.#startedAt + time - Math.min(TICK, time / 2);
  }

  async run(): Promise<Answer<T>> {
    const { telemetry, policies, transport, clock } = this.#parts;
    this.#span = telemetry.startCall(this.#traits.operation);
    let answer: Answer<T> | undefined;
    try {
      this.#mayGoOn();
      if (!policies.empty) await this.#consultPolicies();
      if (!policies.empty || transport.serves) this.#route.narrow(this.#policyCall());
      const pinning = this.#pin();
      if (pinning) await pinning;
      this.#budget.deposit(this.#caller.principal);
      answer = await this.#settle();
      return answer;
    } catch (error) {
      if (!this.failure || error instanceof CallCancelledError) this.failure = failureOfCall(error);
      throw error;
    } finally {
      const latency = clock.now() - this.#startedAt;
      telemetry.endCall(this.#span, this.#traits.operation, latency, answer?.serverId, this.failure);
      if (!policies.empty) this.#tellPolicies(answer, latency);
    }
  }

  /**
   * Nothing more is begun once the caller has gone, the pool has closed or time is up.
   * @param policy the name of the one that was asked.
   */
  #mayGoOn(policy?: string): void {
    const { signal } = this.#options;
    const { signal: closing, clock } = this.#parts;
    if (signal?.aborted) throw new CallCancelledError(this.#traits.operation, signal.reason);
    if (closing.aborted) throw closing.reason;
    if (clock.now() >= this.#deadline) throw this.#deadlineExceeded(policy);
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
    const { policies, transport, deadlines } = this.#parts;
    await policies.before({
      now: () => this.#policyCall(),
      change: (request) => {
        this.#request = request;
        this.#traits = transport.traits(request);
      },
      wait: async (work, policy) => {
        try {
          return await within(work, deadlines, this.#deadline, this.#options.signal);
        } catch (error) {
          this.#mayGoOn(policy);
          throw error;
        }
      },
    });
  }

  #tellPolicies(answer: Answer<T> | undefined, latency: number): void {
    this.#parts.policies.after(this.#policyCall(), {
      latency,
      ...(answer && { serverId: answer.serverId }),
      ...(this.failure && { failure: this.failure }),
      ...(this.#refusal !== undefined && { refusal: this.#refusal }),
    });
  }

  /** Leads the call to the one server that must take it, if there is such a one. */
  #pin(): Promise<void> | undefined {
    const { serverId } = this.#options;
    if (serverId !== undefined) this.#route.pinTo(serverId);
    else if (this.#traits.boundTo) {
      const keys = this.#traits.boundTo.map((key) => this.#affinityKey(key));
      return this.#route.bindTo(keys, (work) => this.#patiently(work));
    }
    return undefined;
  }

  /** Retries of a call that can go to one server only draw on the budget of that server, and not on everybody's. */
  get #budget(): RetryBudget {
    return this.#route.pinned?.budget ?? this.#parts.budget;
  }

  async #settle(): Promise<Answer<T>> {
    for (;;) {
      const next = this.#nextServer();
      const server = next instanceof Promise ? await next : next;
      const settled = await (this.#mayHedge() ? this.#hedged(server) : this.#attempt(server));
      if ("answer" in settled) return settled.answer;
      if (settled.on === "same") this.#route.again(server);
      else this.#route.goOn(settled.prefer);
      if (settled.delay > 0) {
        const { deadlines, clock } = this.#parts;
        // Decided while another attempt of the call was still under way, it may be too long by now.
        const until = Math.min(clock.now() + settled.delay, this.#deadline);
        await pause(deadlines, until, this.#options.signal);
      }
    }
  }

  /** A server whose slot is taken. */
  #nextServer(): MaybePromise<Server<W>> {
    try {
      this.#mayGoOn();
      return this.#route.choose() ?? this.#waitForSlot();
    } catch (error) {
      throw this.#honestly(error);
    }
  }

  async #waitForSlot(): Promise<Server<W>> {
    const { principal } = this.#caller;
    try {
      return await this.#parts.limiter.wait(this.#route.choose, this.#deadline, this.#options.signal, principal);
    } catch (error) {
      try {
        this.#mayGoOn();
      } catch (why) {
        throw this.#honestly(why);
      }
      throw this.#honestly(error);
    }
  }

  #noteFailover(server: Server<W>): void {
    const last = this.#attempts.at(-1);
    if (!last?.failure || last.serverId === server.serverId) return;
    this.failedOver = true;
    this.#parts.failedOver(last.serverId, server.serverId, this.#traits.operation, last.failure);
  }

  #mayHedge(): boolean {
    const { hedging } = this.#parts;
    if (hedging?.after === undefined || this.#attempts.length > 0) return false;
    return this.#traits.repeat === "safe" && this.#traits.replayable && this.#route.untried > 1;
  }

  /** Runs an attempt, and a second one on another server if the first takes unusually long. */
  async #hedged(server: Server<W>): Promise<Settled<T>> {
    const { clock, deadlines, hedging, telemetry } = this.#parts;
    const running: RunningAttempt<W>[] = [];
    const begun = (attempt: RunningAttempt<W>) => running.push(attempt);
    const first = this.#attempt(server, begun);
    const { over, end } = patience(deadlines, clock.now() + (hedging?.after ?? 0), this.#options.signal);
    const settled = await Promise.race([first, over]).finally(end);
    // One whose server waits for the caller is not slow.
    if (settled !== undefined || running[0]?.ended || running[0]?.waiting) return first;
    this.#route.tried(server.serverId);
    if (!this.#budget.withdraw(this.#caller.principal)) return first;
    const other = this.#freeServer();
    if (!other) return first;
    telemetry.hedge(this.#traits.operation);
    const second = this.#attempt(other, begun);
    return firstAnswer(
      [first, second],
      (one) => "answer" in one,
      (index) => running[index]?.supersede(),
    );
  }

  /** Without a wait: when nobody else has a slot, the first attempt goes on alone. */
  #freeServer(): Server<W> | undefined {
    try {
      return this.#route.choose();
    } catch {
      return undefined;
    }
  }

  /** Runs one attempt and says what follows. Throws the call's error when nothing does. */
  async #attempt(server: Server<W>, begun?: (attempt: RunningAttempt<W>) => void): Promise<Settled<T>> {
    const { telemetry, deadlines, clock, minimumRate, attemptEnded, slotFreed } = this.#parts;
    const { operation } = this.#traits;
    this.#first ??= server;
    const attempt = new RunningAttempt<W>(server, ++this.#begun, this.#caller, this.#route.trial, {
      clock,
      deadlines,
      ...this.#timeouts(server),
      deadline: this.#deadline,
      minimumRate,
      signal: this.#options.signal,
      streamed: this.#consume === undefined,
      chosen: this.#route.pinned === undefined,
      resource: this.#traits.resource,
      resume: this.#resume,
      slotFreed,
      ended: attemptEnded,
    });
    begun?.(attempt);
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
      attempt.failure = transport.judge(response, this.#request);
      if (attempt.failure && !this.#answered) {
        const open = attempt.failure.mayBeDone && this.#traits.repeat !== "safe";
        const decision = this.#decide(attempt, attempt.failure, open ? "unknown" : "answered");
        if (decision) {
          transport.discard(response);
          return decision;
        }
        this.#attempts.splice(
          this.#attempts.findLastIndex(({ failure }) => failure === attempt.failure),
          1,
        );
      } else {
        // What it teaches may be in a body that comes slowly; the answer counts from here on.
        attempt.answered = this.#traits.repeat !== "safe";
        const told = servers.size > 1 ? transport.affinity?.(this.#request, response) : undefined;
        const changes = told instanceof Promise ? await told : told;
        if (changes && changes.length > 0) await this.#learn(attempt, changes);
      }
      if (this.#mayBeDone()) response = await this.#verified(response, attempt);
      attempt.answered = this.#traits.repeat !== "safe" && !attempt.failure;
      const refusal = transport.refusal?.(response);
      if (refusal !== undefined && this.#parts.rejectionCodes.has(refusal)) attempt.rejection = refusal;
      const value = this.#consume ? await this.#consume(response, attempt) : (response as T);
      // What ignored the end of its attempt has come too late.
      if (!attempt.answered) attempt.signal.throwIfAborted();
      if (this.#traits.repeat === "safe" && !attempt.failure) this.#parts.hedging?.answered(attempt.latency);
      return this.#answer(attempt, value, refusal);
    } catch (error) {
      // Nobody will read it now.
      transport.discard(response);
      throw error;
    }
  }

  async #send(attempt: RunningAttempt<W>): Promise<W["response"]> {
    attempt.signal.throwIfAborted();
    let connection = attempt.connection();
    if (connection instanceof Promise) {
      connection = await connection;
      attempt.signal.throwIfAborted();
    }
    return connection.send(this.#request, attempt);
  }

  /** An earlier attempt may have done what this one was to do. */
  #mayBeDone(): boolean {
    return this.#traits.repeat !== "safe" && this.#attempts.some((earlier) => earlier.outcome === "unknown");
  }

  /** The answer to give when the work is found done; the transport can tell. */
  async #verified(response: W["response"], attempt: RunningAttempt<W>): Promise<W["response"]> {
    const { transport } = this.#parts;
    const connection = await attempt.connection();
    const done = await transport.verify?.(this.#request, response, (question) => connection.send(question, attempt));
    if (done === undefined) return response;
    if (done !== response) transport.discard(response);
    attempt.failure = undefined;
    return done;
  }

  /** The answer is good, whether or not its owner can be remembered. */
  async #learn({ serverId }: RunningAttempt<W>, changes: readonly AffinityChange[]): Promise<void> {
    const { affinity, log } = this.#parts;
    try {
      for (const change of changes) {
        if ("learn" in change) {
          const { learn, kind, ttl } = change;
          await affinity.set(this.#affinityKey(learn), { serverId, kind, ...(ttl !== undefined && { ttl }) });
        } else await affinity.delete(this.#affinityKey(change.forget), serverId);
      }
    } catch (error) {
      log.warn("It could not be remembered which server owns a lock.", { serverId, error: describeError(error) });
    }
  }

  #affinityKey(key: string): string {
    return affinityKey(this.#parts.credentials, this.#caller, key);
  }

  #answer(attempt: RunningAttempt<W>, value: T, refusal: string | number | undefined): Settled<T> {
    const { serverId, latency, failure } = attempt;
    if (this.#answered) return this.#tooLate(attempt, "answered", failure);
    this.#answered = true;
    this.#refusal = refusal;
    this.#attempts.push({ serverId, outcome: "answered", latency, ...(failure && { failure }) });
    this.failure = failure;
    return { answer: { value, serverId, attempts: this.#attempts } };
  }

  /** Another attempt has given the answer: this one goes into the list before it, and nothing follows. */
  #tooLate({ serverId, latency }: RunningAttempt<W>, outcome: AttemptRecord["outcome"], failure?: Failure): Retry {
    this.#attempts.splice(-1, 0, { serverId, outcome, latency, ...(failure && { failure }) });
    return { action: "retry", on: "other", delay: 0, charge: false };
  }

  /** A streamed body broke off, and its connection would fetch the rest. */
  readonly #resume = ({ serverId, elapsed }: RunningAttempt<W>, failure: Failure): boolean => {
    const { retryAttempts } = (this.#first as Server<W>).profile;
    if (this.#attempts.length > retryAttempts || !this.#budget.withdraw(this.#caller.principal)) return false;
    // The answer has been handed over with this list, which tells as well what happens to its body.
    this.#attempts.push({ serverId, outcome: "answered", latency: elapsed, failure });
    return true;
  };

  #failed(attempt: RunningAttempt<W>, error: unknown): Settled<T> {
    attempt.latency = attempt.elapsed;
    const failure = this.#meaning(attempt, error);
    attempt.failure = failure;
    if (attempt.superseded || this.#answered)
      return this.#tooLate(attempt, attempt.wasSent ? "unknown" : "failed", failure);
    if (failure.kind === "invalid") {
      this.failure = failure;
      throw this.#honestly(error);
    }
    if (attempt.answered && failure.blame !== "caller") {
      this.#attempts.push({ serverId: attempt.serverId, outcome: "answered", latency: attempt.latency, failure });
      this.failure = failure;
      throw new AnswerIncompleteError(this.#traits.operation, this.#attempts);
    }
    const decision = this.#decide(attempt, failure, attempt.wasSent ? "unknown" : "failed");
    if (decision) return decision;
    throw this.#giveUp(failure);
  }

  /** What an error means, in view of whether anything was sent: codes cannot tell, and the attempt knows. */
  #meaning(attempt: RunningAttempt<W>, error: unknown): Failure {
    const failure = attempt.ended ?? credentialFailure(error) ?? this.#parts.transport.explain(error);
    if (attempt.wasSent) return failure.kind === "unsent" ? { ...failure, kind: "broken" } : failure;
    return failure.kind === "broken" || failure.kind === "timeout" ? { ...failure, kind: "unsent" } : failure;
  }

  /** Records the failed attempt and asks the policy. Undefined: settle. The engine's own limits come first. */
  #decide(
    { serverId, latency, server }: RunningAttempt<W>,
    failure: Failure,
    outcome: AttemptRecord["outcome"],
  ): Retry | undefined {
    const { clock, failover, names, random, log } = this.#parts;
    this.#attempts.push({ serverId, outcome, latency, failure });
    this.#route.tried(serverId);
    this.failure = failure;
    const { profile } = this.#first ?? server;
    // A body that flowed and cannot flow again makes any request one that must not be repeated.
    const gone = !this.#traits.replayable && outcome !== "failed";
    const repeat = gone ? "neither" : this.#traits.repeat;
    if (gone || (repeat === "neither" && outcome !== "failed" && failure.kind !== "refused")) return undefined;
    const remaining = this.#deadline - clock.now();
    if (remaining <= 0 || failure.kind === "cancelled" || this.#attempts.length > profile.retryAttempts)
      return undefined;

    let decision: FailoverDecision;
    try {
      decision = failover.decide({
        traits: repeat === this.#traits.repeat ? this.#traits : { ...this.#traits, repeat },
        attempts: this.#attempts as [AttemptRecord, ...AttemptRecord[]],
        remaining,
        untried: this.#route.untried,
        pinned: this.#route.pinned !== undefined,
        profile,
        random,
      });
    } catch (error) {
      log.error(`The failover policy "${names.failover}" failed; the call ends here.`, { error: describeError(error) });
      return undefined;
    }
    if (decision.action === "settle" || decision.delay >= remaining) return undefined;
    if (decision.charge && !this.#budget.withdraw(this.#caller.principal)) return undefined;
    return decision;
  }

  /** A server's own timeout, but never more than leaves time for the servers that could still be asked. */
  #timeouts(server: Server<W>): { readonly timeout: number; readonly timeoutOnceSent: number } {
    const remaining = this.#deadline - this.#parts.clock.now();
    const own = Math.min(server.profile.timeout, remaining);
    const { retryAttempts } = (this.#first ?? server).profile;
    const retriesLeft = Math.max(0, retryAttempts - this.#attempts.length);
    // The server about to be tried counts among the untried ones.
    const others = retriesLeft > 0 ? Math.min(retriesLeft, Math.max(0, this.#route.untried - 1)) : 0;
    const timeout = Math.min(own, remaining / (1 + others));
    const mayMove = this.#traits.repeat !== "neither" && this.#traits.replayable;
    return { timeout, timeoutOnceSent: mayMove ? timeout : own };
  }

  /** The error of a call that ends without an answer. */
  #giveUp(failure: Failure): unknown {
    if (failure.blame === "caller") return new CallCancelledError(this.#traits.operation, failure.cause);
    // What kept a request from being sent says more itself: a secret that cannot be read, a pool that was closed.
    if (isDavpoolError(failure.cause) && failure.blame === "request") return this.#honestly(failure.cause);
    if (this.#parts.clock.now() >= this.#deadline) return this.#honestly(this.#deadlineExceeded());
    // Each server had its time, and that was too short.
    if (this.#attempts.every((attempt) => attempt.failure?.kind === "timeout"))
      return this.#honestly(new DeadlineExceededError(this.#traits.operation, undefined, this.#attempts));
    return this.#honestly(this.#route.unanswered());
  }

  /** Whatever ended the call: what may have been carried out unseen is more important, unless nobody listens. */
  #honestly(error: unknown): unknown {
    if (error instanceof CallCancelledError || !this.#mayBeDone()) return error;
    return new OutcomeUnknownError(this.#traits.operation, this.#attempts);
  }

  /** @param policy the name of the one that is still asked. */
  #deadlineExceeded(policy?: string): Error {
    const deadline = this.#options.deadline ?? this.#parts.deadline;
    return new DeadlineExceededError(this.#traits.operation, deadline, this.#attempts, policy);
  }
}
