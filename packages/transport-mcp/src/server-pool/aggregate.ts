import {
  CallCancelledError,
  type Clock,
  type Aggregate,
  type Aggregator,
  type Pool,
  type Quorum,
  type ServerResult,
} from "@davpool/core";
import type { McpRequest, McpResponse, McpWire } from "../wire.ts";
import { meaningOf } from "./canonical.ts";
import { McpAnswerError, NoAnswerError, NoMajorityError } from "./errors.ts";
import type { Metrics } from "./metrics.ts";
import { resultOf, type RequestOptions } from "./requests.ts";

/**
 * How the answers of several servers, asked at the same time, become one.
 *
 * - `all`: each server's answer beside its id, and what went wrong with those that gave none.
 * - `first`: the first success in the order of the servers. A result with `isError` is passed over, unless nobody does
 *   better.
 * - `fastest`: the first result to arrive, with `isError` or without.
 * - `majority`: the result that more than half of those asked agree on, with `isError` or without. Waits for all.
 *
 * `first` and `fastest` cancel the others where the request changes nothing, and wait for them where it may.
 */
export type Aggregation = "all" | "first" | "fastest" | "majority";

export interface McpBroadcastOptions<A extends Aggregation = Aggregation> extends Pick<
  RequestOptions,
  "signal" | "annotations"
> {
  /** Default: `all`. */
  readonly aggregate?: A;
  /** These servers, in this order. Default: all that can take the request, in the order in which they joined. */
  readonly serverIds?: readonly string[];
  /** The servers of this group. */
  readonly serverGroup?: string;
  /** How many servers must succeed; the answer says whether they did. */
  readonly quorum?: number;
  /** Milliseconds for all of it. Default: the pool's `deadline`. */
  readonly timeout?: number;
}

/** What one server answered. A result with `isError` is an answer. */
export type ServerAnswer<R> =
  | { readonly serverId: string; readonly ok: true; readonly result: R }
  | { readonly serverId: string; readonly ok: false; readonly error: Error };

/** What became of a request to several servers. */
export interface Answers<R> {
  /** Everything that arrived before it was decided, in the order of the servers. */
  readonly answers: readonly ServerAnswer<R>[];
  /** The servers that `result` stands for; without one, those that succeeded: they answered, and not with `isError`. */
  readonly from: readonly string[];
  /** Present where a quorum was asked for. */
  readonly quorum?: Quorum;
}

/** With the one result that was chosen. */
export interface ChosenAnswer<R> extends Answers<R> {
  readonly result: R;
  /** For `majority`: servers that answered otherwise. */
  readonly dissenters: readonly string[];
}

/** Several results side by side, or one of them. */
export type Aggregated<R, A extends Aggregation> = A extends "all" ? Answers<R> : ChosenAnswer<R>;

/** True where an answer may be chosen before every server has given one. */
export function isRace(aggregation: Aggregation): boolean {
  return aggregation === "first" || aggregation === "fastest";
}

export interface BroadcastPlan {
  readonly aggregate: Aggregation;
  readonly serverIds: readonly string[];
  readonly quorum: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** Milliseconds. */
  readonly deadline: number;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/**
 * Asks these servers at the same time, and makes one of what they answer.
 * @throws RangeError for a quorum that these servers cannot have.
 * @throws NoAnswerError, NoMajorityError, CallCancelledError, UnknownServerError
 */
export async function aggregate(
  pool: Pool<McpWire>,
  request: McpRequest,
  plan: BroadcastPlan,
): Promise<Answers<object>> {
  const { serverIds, quorum, signal, clock } = plan;
  if (quorum !== undefined && !(Number.isInteger(quorum) && quorum >= 1 && quorum <= serverIds.length))
    throw new RangeError(
      `A quorum of ${serverIds.length} servers is a whole number from 1 to that; this is ${quorum}.`,
    );
  const start = clock.now();
  const times = new Map<string, number>();
  let errors = 0;
  const all: Aggregate<McpResponse> & { readonly quorum?: Quorum } = await pool.broadcast<McpResponse>(request, {
    serverIds,
    aggregator: aggregatorOf(plan),
    deadline: plan.deadline,
    consume: (response, { serverId }) => {
      times.set(serverId, clock.now() - start);
      return Promise.resolve(response);
    },
    succeeded: plan.aggregate === "fastest" ? ({ result }) => result !== undefined : isSuccess,
    // No two errors agree on anything.
    key: ({ result }) => (result ? meaningOf(result) : `error ${errors++}`),
    ...(quorum !== undefined && { quorum }),
    ...(signal && { signal }),
  });
  for (const arrived of all.results) {
    const { serverId, ok, failure } = arrived;
    if (ok) plan.metrics.count(request.method, serverId, failure?.kind ?? "ok", times.get(serverId) ?? 0);
    else plan.metrics.failed(request.method, failure.cause);
  }
  if (signal?.aborted) throw new CallCancelledError(request.method, signal.reason);
  const answers = all.results.map(answerOf);
  const from = serverIds.filter((id) => all.from.includes(id));
  const common = { answers, ...(all.quorum && { quorum: all.quorum }) };
  if (plan.aggregate === "all") return { ...common, from };
  const chosen = all.value?.result ? { result: all.value.result, from } : leastBad(plan.aggregate, answers);
  if (!chosen) throw failureOf(plan, request, answers);
  const dissenters = answers.flatMap((answer) =>
    all.dissenters.includes(answer.serverId) && hasSpoken(answer) ? answer.serverId : [],
  );
  const decided: ChosenAnswer<object> = { ...common, ...chosen, dissenters };
  return decided;
}

function aggregatorOf({ aggregate: name, serverIds }: BroadcastPlan): string | Aggregator {
  if (name === "first") return firstOf(serverIds);
  // Its first success is the first to arrive.
  return name === "fastest" ? "first" : name;
}

/** The first success in the order of the servers, as soon as each one before it is known to be none. */
function firstOf(serverIds: readonly string[]): Aggregator {
  return {
    async aggregate(arrivals, { succeeded }) {
      const arrived = new Map<string, ServerResult<never>>();
      let next = 0;
      for await (const result of arrivals) {
        arrived.set(result.serverId, result as ServerResult<never>);
        for (let first = arrived.get(serverIds[next] ?? ""); first; first = arrived.get(serverIds[++next] ?? ""))
          if (first.ok && succeeded(first))
            return { value: first.value, from: [first.serverId], dissenters: [], results: [...arrived.values()] };
      }
      return { from: [], dissenters: [], results: [...arrived.values()] };
    },
  };
}

/** Where nobody succeeded, the first server that said why not. */
function leastBad(name: Aggregation, answers: readonly ServerAnswer<object>[]) {
  const answer = name === "first" ? answers.find(({ ok }) => ok) : undefined;
  return answer?.ok === true ? { result: answer.result, from: [answer.serverId] } : undefined;
}

function failureOf(plan: BroadcastPlan, { method }: McpRequest, answers: readonly ServerAnswer<object>[]): Error {
  if (plan.aggregate !== "majority") return new NoAnswerError(method, answers);
  const voices = new Map<string, string[]>();
  for (const answer of answers) {
    if (!answer.ok) continue;
    const meaning = meaningOf(answer.result as Readonly<Record<string, unknown>>);
    voices.set(meaning, [...(voices.get(meaning) ?? []), answer.serverId]);
  }
  return new NoMajorityError(method, plan.serverIds.length, [...voices.values()], answers);
}

function isSuccess({ result }: McpResponse): boolean {
  return result !== undefined && result["isError"] !== true;
}

/** It said something that can be compared; a gateway's 503 cannot. */
function hasSpoken(answer: ServerAnswer<object>): boolean {
  return answer.ok || answer.error instanceof McpAnswerError;
}

function answerOf(arrived: ServerResult<McpResponse>): ServerAnswer<object> {
  const { serverId } = arrived;
  try {
    if (arrived.ok) return { serverId, ok: true, result: resultOf(serverId, arrived.value) };
    const { cause, message } = arrived.failure;
    return { serverId, ok: false, error: cause instanceof Error ? cause : new Error(message) };
  } catch (error) {
    return { serverId, ok: false, error: error as Error };
  }
}
