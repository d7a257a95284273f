import type { Aggregate, Aggregator, Quorum, ServerResult } from "../contracts/aggregator.ts";
import type { Failure } from "../contracts/failure.ts";
import type { BroadcastOptions } from "../contracts/pool.ts";
import type { Wire } from "../contracts/wire.ts";
import { BroadcastBodyError, QuorumUnreachableError } from "../errors/call-errors.ts";
import { UnknownAggregatorError, UnknownGroupError, UnknownServerError } from "../errors/server-errors.ts";
import { broadcast } from "./broadcast.ts";
import { failureOfCall } from "./call-failure.ts";
import { Call, type CallParts } from "./call.ts";

/** What a call of several servers needs of its pool, beyond what each of their calls does. */
export interface GroupCallParts<W extends Wire> extends CallParts<W> {
  readonly aggregators: ReadonlyMap<string, Aggregator>;
  /** The name of that which is meant when a call names none. */
  readonly aggregator: string;
  readonly concurrency: number;
}

/** One request to several servers: a call to each, whose answers an aggregator makes one of. */
export class GroupCall<W extends Wire, T> {
  readonly #parts: GroupCallParts<W>;
  readonly #request: W["request"];
  readonly #options: BroadcastOptions<W, T>;
  readonly #serverIds: readonly string[];
  readonly #aggregator: Aggregator;
  readonly #safe: boolean;
  /** Milliseconds of the clock. */
  readonly #until: number;
  /** Fewer servers than asked for did it; where nobody asked, one of those that were waited for did not. */
  failed = false;

  /** @throws DavpoolError for what cannot be done, before anything is sent. */
  constructor(parts: GroupCallParts<W>, request: W["request"], options: BroadcastOptions<W, T>) {
    this.#parts = parts;
    this.#request = request;
    this.#options = options;
    const { operation, replayable, repeat } = parts.transport.traits(request);
    this.#safe = repeat === "safe";
    this.#serverIds = this.#members();
    const { quorum, serverIds, serverGroup } = options;
    const most = this.#serverIds.length;
    if (quorum !== undefined && quorum > most)
      throw new QuorumUnreachableError(operation, quorum, most, serverIds ? undefined : serverGroup);
    if (!replayable && this.#serverIds.length > 1) throw new BroadcastBodyError(operation);
    this.#aggregator = this.#findAggregator();
    this.#until = parts.clock.now() + (options.deadline ?? parts.deadline);
  }

  async run(): Promise<Aggregate<T> & { readonly quorum?: Quorum }> {
    const { signal, key, quorum } = this.#options;
    const aggregate = await broadcast<T>({
      serverIds: this.#serverIds,
      concurrency: this.#parts.concurrency,
      signal,
      aggregator: this.#aggregator,
      key: key ?? ((value) => JSON.stringify(value)),
      succeeded: this.#succeeded,
      // Whoever is cut off in the middle of a change has half of it.
      cancels: this.#safe,
      member: (serverId, unwanted) => this.#ask(serverId, unwanted),
    });
    if (quorum === undefined) return aggregate;
    const count = aggregate.results.filter(this.#succeeded).length;
    this.failed = count < quorum;
    return { ...aggregate, quorum: { required: quorum, succeeded: count, met: !this.failed } };
  }

  readonly #succeeded = (result: ServerResult<T>): boolean =>
    result.ok && result.failure === undefined && (this.#options.succeeded?.(result.value) ?? true);

  async #ask(serverId: string, signal: AbortSignal): Promise<ServerResult<T>> {
    const { clock } = this.#parts;
    // Those that wait for others to end have the rest of the time, not all of it anew.
    const deadline = Math.max(0, this.#until - clock.now());
    const options = { ...this.#options, serverId, signal, deadline };
    const call = new Call<W, T>(this.#parts, this.#request, options, this.#options.consume);
    try {
      const { value } = await call.run();
      return { serverId, ok: true, value, ...(call.failure && { failure: call.failure }) };
    } catch (error) {
      return { serverId, ok: false, failure: memberFailure(error, call.failure) };
    } finally {
      // One that the aggregator did not wait for has not failed.
      const unwanted = signal.aborted && this.#options.signal?.aborted !== true;
      this.failed ||= call.failure !== undefined && !unwanted;
    }
  }

  #findAggregator(): Aggregator {
    const { aggregators, aggregator: usual } = this.#parts;
    const { aggregator: wanted = usual } = this.#options;
    if (typeof wanted === "object") return wanted;
    const found = aggregators.get(wanted);
    if (!found) throw new UnknownAggregatorError(wanted, [...aggregators.keys()]);
    return found;
  }

  #members(): readonly string[] {
    const { servers } = this.#parts;
    const { serverIds, serverGroup } = this.#options;
    if (serverIds) {
      for (const serverId of serverIds)
        if (!servers.has(serverId)) throw new UnknownServerError(serverId, [...servers.keys()]);
      // Named twice, a server is still one.
      return [...new Set(serverIds)];
    }
    const enabled = [...servers.values()].filter((server) => server.enabled);
    const members = serverGroup === undefined ? enabled : enabled.filter((server) => server.group === serverGroup);
    if (members.length > 0) return members.map((server) => server.serverId);
    const groups = new Set(enabled.flatMap((server) => (server.group === undefined ? [] : [server.group])));
    throw new UnknownGroupError(serverGroup ?? "", [...groups]);
  }
}

/** What the error of a member's call means, with what is known of its last attempt. */
function memberFailure(error: unknown, failure: Failure | undefined): Failure {
  const meant = failureOfCall(error);
  return {
    ...meant,
    ...failure,
    message: meant.message,
    ...(meant.code !== undefined && { code: meant.code }),
    cause: error,
  };
}
