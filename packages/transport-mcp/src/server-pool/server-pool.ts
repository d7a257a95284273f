import {
  DuplicateServerError,
  PoolClosedError,
  UnknownServerError,
  describeError,
  isPlugin,
  openPools,
  systemClock,
  type Clock,
  type OpenPools,
  type Pool,
} from "@davpool/core";
import type { McpWire } from "../wire.ts";
import type { Aggregated, Aggregation, McpBroadcastOptions } from "./aggregate.ts";
import { Catalog, type ListKind } from "./catalog.ts";
import { Circuits } from "./circuit.ts";
import { MCP_HOST } from "../host.ts";
import { DEFAULTS, configurationOf, listeningHost, profileOf } from "./configuration.ts";
import { Events, type McpServerPoolEvents } from "./events.ts";
import { loadList } from "./load-list.ts";
import { Metrics, percentage } from "./metrics.ts";
import type { McpServerInput, McpServerPoolOptions } from "./options.ts";
import { Reads } from "./reads.ts";
import { givenUpInfo, serverInfo, type McpServerInfo, type McpServerPoolStats } from "./reports.ts";
import type { Entries, Payloads, RequestOptions, RequestType, Results } from "./requests.ts";
import { Sender } from "./sender.ts";
import type { TaskOptions } from "./work-queue/task.ts";
import { WorkQueue, type TaskRunner } from "./work-queue/work-queue.ts";

/**
 * Several MCP servers that behave as one, for programs: replicas share the work, and what one cannot answer another does.
 *
 * Requests go through {@link McpServerPool.queue}; {@link McpServerPool.run} goes past it. Lists of the servers tell which
 * of them have a tool, and whether a call of it may be repeated.
 *
 * @example
 * ```ts
 * await using pool = await McpServerPool.open({ strategy: "least-loaded", maxRetries: 3 });
 * await pool.addServer({ serverId: "vps-1", url: "https://vps1.example.com/mcp", token: { env: "VPS_TOKEN" } });
 * const result = await pool.callTool("search", { text: "davpool" });
 * ```
 */
export class McpServerPool implements TaskRunner, AsyncDisposable {
  readonly clock: Clock;
  /** Tasks wait here for their turn, and are tried again when they fail. */
  readonly queue: WorkQueue;
  readonly #options: McpServerPoolOptions;
  readonly #events: Events;
  readonly #catalog: Catalog;
  readonly #metrics: Metrics;
  readonly #circuits: Circuits;
  readonly #sender: Sender;
  /** Before the queue, where a cache or batches are wanted. */
  readonly #reads: Reads | undefined;
  /** The configuration: it keeps servers that are down, and those that were given up. */
  readonly #servers = new Map<string, { readonly input: McpServerInput; givenUp: boolean }>();
  #open!: OpenPools;
  #pool!: Pool<McpWire>;
  #turn: Promise<unknown> = Promise.resolve();
  #closed: Promise<void> | undefined;

  private constructor(options: McpServerPoolOptions) {
    this.#options = options;
    this.clock = options.clock ?? systemClock;
    this.#events = new Events(options.log);
    this.queue = new WorkQueue(this, options.queue, {
      completed: (taskId, result) => this.#events.emit("task-completed", taskId, result),
      failed: (taskId, error) => this.#events.emit("task-failed", taskId, error),
    });
    this.#metrics = new Metrics(options.name ?? DEFAULTS.name, this.clock);
    this.#circuits = new Circuits(this.clock);
    this.#catalog = new Catalog({
      load: (serverId, kind) =>
        loadList(
          { execute: (request, given) => this.#metrics.execute(this.#pool, request, given) },
          serverId,
          kind,
          (problem) => options.log?.warn(problem),
          options.timeout ?? DEFAULTS.timeout,
        ),
      askable: () =>
        this.#pool
          .list()
          .filter(({ enabled, health }) => enabled && health.status !== "unhealthy")
          .map(({ serverId }) => serverId),
      clock: this.clock,
      maxAge: options.listMaxAge ?? DEFAULTS.listMaxAge,
    });
    this.#sender = new Sender({
      pool: () => this.#pool,
      catalog: this.#catalog,
      serverIds: () => this.#servers.keys(),
      hasServers: () => this.#servers.size > 0,
      metrics: this.#metrics,
      clock: this.clock,
      strategy: this.#strategy,
      deadline: options.deadline ?? DEFAULTS.deadline,
    });
    if (options.cache || options.batch)
      this.#reads = new Reads({
        options,
        clock: this.clock,
        isReadOnly: (type, payload, given) => this.#sender.isReadOnly(type, payload, given),
        send: (type, payload, given) => this.queue.enqueue(type, payload, given),
      });
  }

  /**
   * Opens a pool. Servers need not be there: what is down when it opens takes requests as soon as it is up.
   * @throws ConfigError with everything that is wrong with the options, InvalidProfileError
   */
  static async open(options: McpServerPoolOptions = {}): Promise<McpServerPool> {
    const pool = new McpServerPool(options);
    await pool.#start();
    return pool;
  }

  async #start(): Promise<void> {
    const { log, random, environment, signal, servers = [] } = this.#options;
    const config = await configurationOf(this.#options, (serverId, error) => this.#giveUp(serverId, error));
    const host = listeningHost(({ serverId, method, params }) => {
      this.#catalog.changed(serverId, method);
      this.#reads?.heard(method, params);
    });
    this.#open = await openPools(config, {
      clock: this.clock,
      ...(log && { log }),
      ...(random && { random }),
      ...(environment && { environment }),
      ...(signal && { signal }),
      provide: (services) => services.provide(MCP_HOST, host),
    });
    this.#pool = [...this.#open.pools.values()][0] as Pool<McpWire>;
    for (const input of servers) this.#servers.set(input.serverId, { input, givenUp: false });
    const problem = (reason: string | undefined) => new Error(reason ?? "it does not answer as it should");
    this.#pool.on("server-unhealthy", ({ serverId, reason }) => {
      this.#circuits.opened(serverId);
      this.#events.emit("server-offline", serverId, problem(reason));
    });
    this.#pool.on("server-degraded", ({ serverId, reason }) =>
      this.#events.emit("server-degraded", serverId, problem(reason)),
    );
    this.#pool.on("recovered", ({ serverId }) => {
      this.#catalog.back(serverId);
      this.#events.emit("server-recovered", serverId);
    });
  }

  /**
   * Adds a server, which the program vouches for: commands and private addresses are as good as others. Does not wait for
   * it to be reached.
   * @throws DuplicateServerError, InvalidProfileError
   */
  addServer(server: McpServerInput): Promise<McpServerInfo> {
    return this.#inTurn(async () => {
      const { serverId } = server;
      if (this.#servers.has(serverId)) throw new DuplicateServerError(serverId);
      await this.#apply([...this.#connected(), server]);
      this.#servers.set(serverId, { input: server, givenUp: false });
      return this.#info(serverId);
    });
  }

  /**
   * Takes a server out. What it has begun it may end; nothing new goes to it.
   * @throws UnknownServerError
   */
  removeServer(serverId: string): Promise<void> {
    return this.#inTurn(async () => {
      this.#find(serverId);
      await this.#apply(this.#connected().filter((server) => server.serverId !== serverId));
      this.#servers.delete(serverId);
      for (const part of [this.#catalog, this.#metrics, this.#circuits]) part.forget(serverId);
    });
  }

  /** Begins anew with a server that was given up. Without effect on others. @throws UnknownServerError */
  reconnectServer(serverId: string): Promise<void> {
    return this.#inTurn(async () => {
      const server = this.#find(serverId);
      if (!server.givenUp) return;
      await this.#apply([...this.#connected(), server.input]);
      server.givenUp = false;
    });
  }

  /**
   * Calls a tool on one of the servers that have it. Where a server dies under it, another one takes over if nothing was
   * sent yet, or if the tool says that it may be repeated (`readOnlyHint`, `idempotentHint`). A result with `isError` is a
   * result.
   * @throws UnknownToolError, McpAnswerError, ServerRefusedError
   * @throws OutcomeUnknownError when a call that must not be repeated may have been carried out.
   * @throws NoServerAvailableError, DeadlineExceededError, CallCancelledError, QueueClosedError
   */
  callTool(
    name: string,
    args: Payloads["tool_call"]["arguments"] = {},
    options?: TaskOptions,
  ): Promise<Results["tool_call"]> {
    return this.#ask("tool_call", { name, arguments: args }, options);
  }

  /** @throws as {@link McpServerPool.callTool} does. */
  readResource(uri: string, options?: TaskOptions): Promise<Results["resource_read"]> {
    return this.#ask("resource_read", { uri }, options);
  }

  /** @throws as {@link McpServerPool.callTool} does. */
  getPrompt(
    name: string,
    args: Payloads["prompt_get"]["arguments"] = {},
    options?: TaskOptions,
  ): Promise<Results["prompt_get"]> {
    return this.#ask("prompt_get", { name, arguments: args }, options);
  }

  /** What the servers have, all of them together: each tool once, as the first server that has it describes it. */
  listTools(): Promise<readonly Entries["tools"][]> {
    return this.#listAll("tools");
  }
  /** As {@link McpServerPool.listTools}. */
  listPrompts(): Promise<readonly Entries["prompts"][]> {
    return this.#listAll("prompts");
  }
  /** As {@link McpServerPool.listTools}. */
  listResources(): Promise<readonly Entries["resources"][]> {
    return this.#listAll("resources");
  }
  /** As {@link McpServerPool.listTools}. */
  listResourceTemplates(): Promise<readonly Entries["resourceTemplates"][]> {
    return this.#listAll("resourceTemplates");
  }

  /** Ids of the servers that are known to have a tool; none before lists have been asked for. */
  serversWith(tool: string): readonly string[] {
    return [...(this.#catalog.known("tools", tool)?.servers ?? [])];
  }

  /**
   * Sends a request now, past the queue, and tries nothing again beyond the failover within it.
   * @param options `deadline`: milliseconds within which it ends. Default: the pool's.
   */
  run<T extends RequestType>(
    type: T,
    payload: Payloads[T],
    options: RequestOptions & { readonly deadline?: number } = {},
  ): Promise<Results[T]> {
    return this.#sender.run(type, payload, options);
  }

  /**
   * Asks several servers at the same time, past the queue, and makes one answer of theirs: see {@link Aggregation}.
   * Servers that are offline are asked as well; without `serverIds`, those that do not have the tool are not.
   * @throws NoAnswerError, NoMajorityError where there is no result to choose; they hold every answer.
   * @throws UnknownToolError, UnknownGroupError, UnknownServerError, NoServerAvailableError, CallCancelledError
   */
  broadcast<T extends RequestType, A extends Aggregation = "all">(
    type: T,
    payload: Payloads[T],
    options: McpBroadcastOptions<A> = {},
  ): Promise<Aggregated<Results[T], A>> {
    return this.#sender.broadcast(type, payload, options);
  }

  mayRepeat<T extends RequestType>(type: T, payload: Payloads[T], options: RequestOptions): boolean {
    return this.#sender.mayRepeat(type, payload, options);
  }

  getStats(): McpServerPoolStats {
    const servers = this.getServers();
    const { requestStats, averageResponseTime } = this.#pool.stats();
    const queue = this.queue.getStats();
    const count = (state: string) => servers.filter(({ status }) => status === state).length;
    return {
      servers: servers.length,
      healthy: count("online"),
      degraded: count("degraded"),
      offline: count("offline"),
      tasks: queue.pending + queue.inProgress,
      queue,
      strategy: this.#strategy,
      strategyUsage: this.#metrics.choices,
      requests: requestStats,
      successRate: percentage(requestStats.successful, requestStats.total),
      averageResponseTime,
      ...this.#reads?.stats,
    };
  }

  /** Every server that is configured, dead or alive. */
  getServers(): readonly McpServerInfo[] {
    const connected = new Map(this.#pool.list().map((status) => [status.serverId, status]));
    return [...this.#servers].map(([serverId, { input }]) => {
      const status = connected.get(serverId);
      const measured = { ...this.#metrics.of(serverId), circuit: this.#circuits.of(serverId, status?.health) };
      return status ? serverInfo(status, measured) : givenUpInfo(input, measured);
    });
  }

  /** @returns disposing it ends the listening. */
  on<K extends keyof McpServerPoolEvents>(
    event: K,
    listener: (...detail: McpServerPoolEvents[K]) => unknown,
  ): Disposable {
    return this.#events.on(event, listener);
  }

  /**
   * Has the tasks in the queue carried out, then closes every connection and ends every process it started.
   * @param options `drain`: milliseconds that tasks have for it. Default: the queue's, 30,000.
   */
  close(options?: { readonly drain?: number }): Promise<void> {
    return (this.#closed ??= this.#close(options));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(options?: { readonly drain?: number }): Promise<void> {
    this.#reads?.close();
    await this.queue.close(options);
    // What could end has ended; what still runs ends with what is known of it.
    await this.#pool.close({ drain: 0 });
    await this.queue.onIdle();
    await this.#open[Symbol.asyncDispose]();
  }

  get #strategy(): string {
    const { strategy = DEFAULTS.strategy } = this.#options;
    if (typeof strategy === "string") return strategy;
    return isPlugin(strategy) ? String(strategy.name) : (strategy as { readonly type: string }).type;
  }

  async #listAll<K extends ListKind>(kind: K): Promise<readonly Entries[K][]> {
    const { cache } = this.#options;
    return (await this.#catalog.all(kind, [...this.#servers.keys()], cache?.ttl)) as unknown as readonly Entries[K][];
  }

  #ask<T extends RequestType>(type: T, payload: Payloads[T], options: TaskOptions = {}): Promise<Results[T]> {
    return this.#reads ? this.#reads.request(type, payload, options) : this.queue.enqueue(type, payload, options);
  }

  #giveUp(serverId: string, error: unknown): void {
    void this.#inTurn(async () => {
      const server = this.#servers.get(serverId);
      if (!server || server.givenUp) return;
      server.givenUp = true;
      await this.#apply(this.#connected());
      this.#options.log?.warn(`Server ${serverId} is given up; reconnectServer begins anew with it.`, {
        serverId,
        reason: describeError(error),
      });
    }).catch(() => {});
  }

  #connected(): readonly McpServerInput[] {
    return [...this.#servers.values()].flatMap(({ input, givenUp }) => (givenUp ? [] : [input]));
  }

  #apply(servers: readonly McpServerInput[]): Promise<void> {
    return this.#pool.apply(servers.map((server) => ({ ...profileOf(server) })));
  }

  #find(serverId: string) {
    const server = this.#servers.get(serverId);
    if (!server) throw new UnknownServerError(serverId, [...this.#servers.keys()]);
    return server;
  }

  #info(serverId: string): McpServerInfo {
    return this.getServers().find(({ id }) => id === serverId) as McpServerInfo;
  }

  /** Changes of the servers wait for each other. */
  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(() => {
      if (this.#closed) throw new PoolClosedError(this.#pool.name);
      return change();
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
