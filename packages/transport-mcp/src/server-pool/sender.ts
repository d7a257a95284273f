import { NoServerAvailableError, UnknownGroupError, sleep, type Clock, type Pool } from "@davpool/core";
import type { McpRequest, McpWire, ToolAnnotations } from "../wire.ts";
import { aggregate, isRace, type Aggregated, type Aggregation, type McpBroadcastOptions } from "./aggregate.ts";
import { cancellable } from "./cancellable.ts";
import type { Catalog, Holders } from "./catalog.ts";
import { UnknownToolError } from "./errors.ts";
import type { Metrics } from "./metrics.ts";
import {
  METHOD_OF,
  listingOf,
  promisedByAll,
  resultOf,
  type Payloads,
  type RequestOptions,
  type RequestType,
  type Results,
} from "./requests.ts";

export interface SenderParts {
  readonly pool: () => Pool<McpWire>;
  readonly catalog: Catalog;
  /** Ids of all servers that are configured. */
  readonly serverIds: () => Iterable<string>;
  readonly hasServers: () => boolean;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** What the pool's strategy is called. */
  readonly strategy: string;
  /** Milliseconds, where a request does not say. */
  readonly deadline: number;
}

/** Sends requests to replicas that can take them: to one that the strategy picks, or to several at the same time. */
export class Sender {
  readonly #parts: SenderParts;

  constructor(parts: SenderParts) {
    this.#parts = parts;
  }

  /** @param options `deadline`: milliseconds within which it ends. */
  async run<T extends RequestType>(
    type: T,
    payload: Payloads[T],
    options: RequestOptions & { readonly deadline?: number },
  ): Promise<Results[T]> {
    const { pool, catalog, metrics, clock, strategy } = this.#parts;
    const { serverId, signal, onProgress, deadline = this.#parts.deadline } = options;
    const start = clock.now();
    const { kind, id } = listingOf(type, payload);
    const holders = await this.#holders(type, payload, signal);
    // Those that have not said what they have may have it.
    const silent = holders || type !== "tool_call" ? undefined : catalog.unknown(kind, this.#parts.serverIds());
    if (silent?.size === 0 && serverId === undefined && this.#parts.hasServers())
      throw new UnknownToolError(id, catalog.ids(kind));
    const servers = holders?.servers ?? silent;
    const request: McpRequest = {
      ...this.#request(type, payload, options),
      ...(servers && servers.size > 0 && { servers }),
      ...(onProgress && { onProgress }),
    };
    metrics.chosen(serverId === undefined ? strategy : "serverId");
    const answer = await metrics.execute(pool(), request, {
      deadline: Math.max(1, deadline - (clock.now() - start)),
      ...(serverId !== undefined && { serverId }),
      ...(signal && { signal }),
    });
    return resultOf(answer.serverId, answer.value) as unknown as Results[T];
  }

  async broadcast<T extends RequestType, A extends Aggregation>(
    type: T,
    payload: Payloads[T],
    options: McpBroadcastOptions<A>,
  ): Promise<Aggregated<Results[T], A>> {
    const { pool, metrics, clock } = this.#parts;
    const { signal, quorum, timeout = this.#parts.deadline } = options;
    const name: Aggregation = options.aggregate ?? "all";
    const start = clock.now();
    // Where all answers count, so does who has it; a race does not wait for that.
    if (!isRace(name)) await this.#look(type, payload, timeout / 2, signal);
    const holders = await this.#holders(type, payload, signal);
    const request = this.#request(type, payload, options);
    const serverIds = this.#members(type, payload, options, holders);
    metrics.chosen(name);
    const answers = await aggregate(pool(), request, {
      aggregate: name,
      serverIds,
      quorum,
      signal,
      deadline: Math.max(1, timeout - (clock.now() - start)),
      clock,
      metrics,
    });
    return answers as unknown as Aggregated<Results[T], A>;
  }

  /** Whether a request changes nothing. Asks the servers what they say of a tool, where that is not known yet. */
  async isReadOnly<T extends RequestType>(type: T, payload: Payloads[T], options: RequestOptions): Promise<boolean> {
    if (type !== "tool_call") return true;
    await this.#holders(type, payload, options.signal);
    return this.#annotations(listingOf(type, payload).id, options)?.readOnlyHint === true;
  }

  /** Whether carrying a request out twice is the same as once, as far as it is known by now. */
  mayRepeat<T extends RequestType>(
    type: T,
    payload: Payloads[T],
    options: Pick<RequestOptions, "annotations">,
  ): boolean {
    if (type !== "tool_call") return true;
    const hints = this.#annotations(listingOf(type, payload).id, options);
    return hints?.readOnlyHint === true || hints?.idempotentHint === true;
  }

  /** What is known of a tool: what the caller says, or else all that have it. */
  #annotations(tool: string, { annotations }: Pick<RequestOptions, "annotations">): ToolAnnotations | undefined {
    return annotations ?? promisedByAll(this.#parts.catalog.known("tools", tool)?.descriptions.values() ?? []);
  }

  /** Who has it; undefined when nobody whose list is known does. */
  #holders<T extends RequestType>(type: T, payload: Payloads[T], signal: AbortSignal | undefined) {
    const { kind, id } = listingOf(type, payload);
    return cancellable(this.#parts.catalog.find(kind, id), METHOD_OF[type], signal);
  }

  /** Waits until the servers have said what they have; for those that have not in this time (milliseconds), they may. */
  async #look<T extends RequestType>(
    type: T,
    payload: Payloads[T],
    time: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { catalog, clock } = this.#parts;
    const known = new AbortController();
    const looking = catalog.look(listingOf(type, payload).kind).finally(() => known.abort());
    const looked = Promise.race([looking, sleep(clock, time, { signal: known.signal })]);
    await cancellable(looked, METHOD_OF[type], signal).finally(() => known.abort());
  }

  #request<T extends RequestType>(
    type: T,
    payload: Payloads[T],
    options: Pick<RequestOptions, "annotations">,
  ): McpRequest {
    const annotations = type === "tool_call" ? this.#annotations(listingOf(type, payload).id, options) : undefined;
    return { method: METHOD_OF[type], params: payload, ...(annotations && { annotations }) };
  }

  /** The servers that a broadcast asks, in its order. */
  #members<T extends RequestType>(
    type: T,
    payload: Payloads[T],
    { serverIds, serverGroup }: McpBroadcastOptions,
    holders: Holders | undefined,
  ): readonly string[] {
    if (serverIds) return [...new Set(serverIds)];
    const { catalog } = this.#parts;
    const pool = this.#parts.pool();
    const enabled = pool.list().filter((server) => server.enabled);
    const members = enabled.filter(({ group }) => serverGroup === undefined || group === serverGroup);
    if (enabled.length === 0) throw new NoServerAvailableError(pool.name, [], []);
    if (members.length === 0)
      throw new UnknownGroupError(serverGroup ?? "", [...new Set(enabled.flatMap(({ group }) => group ?? []))]);
    const ids = members.map(({ serverId }) => serverId);
    // What is not listed may be there all the same, unless it is a tool.
    if (type !== "tool_call" && !holders) return ids;
    const { kind, id } = listingOf(type, payload);
    const silent = catalog.unknown(kind, ids);
    const able = ids.filter((serverId) => holders?.servers.has(serverId) === true || silent.has(serverId));
    if (able.length === 0) throw new UnknownToolError(id, catalog.ids(kind));
    return able;
  }
}
