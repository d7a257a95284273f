import { describeError, isDavpoolError, sleep, type Clock, type Log, type Pool } from "@davpool/core";
import { Catalog, LISTS, loadList, type ListKind, type Listed, type McpWire } from "@davpool/transport-mcp";

/** Milliseconds between two looks at lists of which servers say that they have changed. */
const REST = 500;
const KINDS = Object.keys(LISTS) as readonly ListKind[];

export interface UpstreamParts {
  readonly pool: Pool<McpWire>;
  readonly clock: Clock;
  readonly log: Log;
  /** A list of this kind is not what it was. */
  readonly changed: (kind: ListKind) => void;
}

/**
 * One pool of MCP servers with what they offer: their lists united, and kept while they are down. What a server offers is
 * asked for when it is first there, when it is back, and when it says that it has changed.
 */
export class Upstream implements Disposable {
  readonly pool: Pool<McpWire>;
  /** Milliseconds that a call may take. */
  deadline = Infinity;
  /** Milliseconds that it may take in all while its server reports progress. */
  longestCall = Infinity;
  /** Resolves when every server has been asked once, whatever it said. */
  readonly asked: Promise<void>;
  readonly #catalog: Catalog;
  readonly #watches: readonly Disposable[];
  readonly #log: Log;
  readonly #changed: (kind: ListKind) => void;
  #changes = 0;
  readonly #clock: Clock;
  /** What servers said since it was last heeded. */
  readonly #said = new Set<string>();
  #heeding = false;
  readonly #closed = new AbortController();

  constructor({ pool, clock, log, changed }: UpstreamParts) {
    this.pool = pool;
    this.#log = log;
    this.#clock = clock;
    this.#changed = (kind) => {
      this.#changes++;
      changed(kind);
    };
    this.#catalog = new Catalog({
      load: (serverId, kind) => this.#load(serverId, kind),
      askable: () => pool.list().flatMap(({ serverId, enabled }) => (enabled ? serverId : [])),
      clock,
      maxAge: Infinity,
      changed: (kind) => this.#changed(kind),
    });
    this.#watches = [
      pool.on("recovered", ({ serverId }) => this.#back(serverId)),
      pool.on("servers-changed", ({ serverId, change }) => {
        if (change === "removed") this.#catalog.forget(serverId);
        else this.#back(serverId);
      }),
    ];
    this.asked = this.look();
  }

  get clock(): Clock {
    return this.#clock;
  }
  get name(): string {
    return this.pool.name;
  }

  /** Asks those whose lists are not known. */
  async look(): Promise<void> {
    await Promise.all(KINDS.map((kind) => this.#catalog.look(kind)));
  }

  /** Everything of this kind, as the servers describe it. */
  all(kind: ListKind): readonly Listed[] {
    return this.#catalog.united(kind, this.#serverIds());
  }

  /** Who has it, and how each describes it; undefined when nobody whose list is known does. */
  holders(kind: ListKind, id: string) {
    return this.#catalog.known(kind, id);
  }

  /** Ids of the servers that have not said what they offer. */
  get silent(): readonly string[] {
    return [...this.#catalog.unknown("tools", this.#serverIds())];
  }

  /** Some server has not said what it offers. */
  get incomplete(): boolean {
    return this.silent.length > 0;
  }

  /** A session that is everybody's has begun: the server was started, perhaps as another one. */
  began(serverId: string): void {
    if (!this.#catalog.loading(serverId)) this.#back(serverId);
  }

  /** A server said something about its lists. */
  notified(serverId: string, method: string): void {
    this.#said.add(JSON.stringify([serverId, method]));
    if (this.#heeding) return;
    this.#heeding = true;
    void this.#heed().finally(() => (this.#heeding = false));
  }

  /** Once for all that was said meanwhile, and not without end: some servers say so whenever they are asked. */
  async #heed(): Promise<void> {
    while (this.#said.size > 0) {
      const said = [...this.#said].map((one) => JSON.parse(one) as [string, string]);
      this.#said.clear();
      const before = this.#changes;
      for (const [serverId, method] of said) this.#catalog.changed(serverId, method);
      await this.look();
      const methods = new Set<string>(said.map(([, method]) => method));
      // They said so, although the lists are what they were.
      if (this.#changes === before)
        for (const kind of KINDS)
          if (methods.has(LISTS[kind].changed) && kind !== "resourceTemplates") this.#changed(kind);
      await sleep(this.#clock, REST, { signal: this.#closed.signal, background: true });
      if (this.#closed.signal.aborted) return;
    }
  }

  [Symbol.dispose](): void {
    this.#closed.abort();
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  #back(serverId: string): void {
    this.#catalog.back(serverId);
    void this.look();
  }

  #serverIds(): readonly string[] {
    return this.pool.list().map(({ serverId }) => serverId);
  }

  async #load(serverId: string, kind: ListKind): Promise<readonly Listed[]> {
    try {
      return await loadList(this.pool, serverId, kind, (problem) =>
        this.#log.warn(problem, { pool: this.name, serverId }),
      );
    } catch (error) {
      // Of a pool that is closed, nobody need know what it offers.
      if (kind === "tools" && !isClosed(error))
        this.#log.warn(
          `A server did not say what it offers: ${describeError(error)} It is asked again once it answers.`,
          {
            pool: this.name,
            serverId,
          },
        );
      throw error;
    }
  }
}

function isClosed(error: unknown): boolean {
  return isDavpoolError(error) && error.code === "POOL_CLOSED";
}
