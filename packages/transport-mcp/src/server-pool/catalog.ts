import { isDeepStrictEqual } from "node:util";
import type { Clock } from "@davpool/core";
import type { McpMethod } from "../wire.ts";

/** One thing that a server lists, as it lists it. */
export type Listed = Readonly<Record<string, unknown>>;

/** How each kind of list is asked for, and what tells its entries apart. */
export const LISTS = {
  tools: { method: "tools/list", id: "name", changed: "notifications/tools/list_changed" },
  prompts: { method: "prompts/list", id: "name", changed: "notifications/prompts/list_changed" },
  resources: { method: "resources/list", id: "uri", changed: "notifications/resources/list_changed" },
  resourceTemplates: {
    method: "resources/templates/list",
    id: "uriTemplate",
    changed: "notifications/resources/list_changed",
  },
} as const satisfies Record<string, { method: McpMethod; id: string; changed: string }>;

export type ListKind = keyof typeof LISTS;

/** The replicas that have one thing. Both parts grow and shrink as lists come in, also under a request that is under way. */
export interface Holders {
  readonly servers: Set<string>;
  /** How each of them describes it. */
  readonly descriptions: Map<string, Listed>;
}

export interface CatalogParts {
  /** All of one server's list. */
  readonly load: (serverId: string, kind: ListKind) => Promise<readonly Listed[]>;
  /** Ids of the servers that can be asked now, in the order in which they joined. */
  readonly askable: () => readonly string[];
  readonly clock: Clock;
  /** Milliseconds after which a list is asked for again; Infinity where notifications are enough. */
  readonly maxAge: number;
  /** What is known of this kind is not what it was. */
  readonly changed?: (kind: ListKind) => void;
}

/** Milliseconds that a list which could not be loaded, or lacked what was looked for, is left alone. */
const REST = 1_000;

interface ServerList {
  entries: readonly Listed[] | undefined;
  loadedAt: number;
  triedAt: number;
  /** It has changed since. */
  stale: boolean;
  loading: Promise<void> | undefined;
  problem: unknown;
}

/**
 * What the replicas have. Each one's last list is kept while it is down; lists are asked for when they are used, and
 * behind the back of whoever uses an old one.
 */
export class Catalog {
  readonly #parts: CatalogParts;
  readonly #lists = new Map<ListKind, Map<string, ServerList>>();
  readonly #holders = new Map<ListKind, Map<string, Holders>>();

  constructor(parts: CatalogParts) {
    this.#parts = parts;
  }

  /**
   * The replicas that have this, waiting no longer than until the first one is known.
   * @returns undefined when nobody whose list is known has it.
   */
  async find(kind: ListKind, id: string): Promise<Holders | undefined> {
    const { maxAge } = this.#parts;
    this.#refresh(kind, maxAge);
    const found = this.known(kind, id);
    if (found) return found;
    // A new tool is in a new list. Resources may be there without being listed, so that nobody is asked again for them.
    const listed = kind !== "resources";
    if (listed) this.#refresh(kind, REST);
    for (;;) {
      const loading = [...this.#of(kind).values()].flatMap((list) =>
        list.loading && (listed || list.entries === undefined) ? list.loading : [],
      );
      const now = this.known(kind, id);
      if (now || loading.length === 0) return now;
      await Promise.race(loading);
    }
  }

  /** As {@link Catalog.find}, from what is known by now. */
  known(kind: ListKind, id: string): Holders | undefined {
    return this.#holders.get(kind)?.get(id);
  }

  /** Ids of everything known of this kind. */
  ids(kind: ListKind): readonly string[] {
    return [...(this.#holders.get(kind)?.keys() ?? [])].toSorted();
  }

  /** Servers that have not said what they have. */
  unknown(kind: ListKind, serverIds: Iterable<string>): ReadonlySet<string> {
    const lists = this.#of(kind);
    return new Set([...serverIds].filter((serverId) => lists.get(serverId)?.entries === undefined));
  }

  /** Asks the servers whose list is unknown or has changed. Resolves when nobody is being asked any more. */
  async look(kind: ListKind): Promise<void> {
    // What changes while it is loaded is loaded again, once: some servers say so whenever they are asked.
    for (let round = 0; round < 2; round++) {
      this.#refresh(kind, this.#parts.maxAge);
      const loading = [...this.#of(kind).values()].flatMap((list) => list.loading ?? []);
      if (loading.length === 0) return;
      await Promise.all(loading);
    }
  }

  /** Everything known of this kind, each thing once, as the first of these servers describes it. */
  united(kind: ListKind, serverIds: readonly string[]): readonly Listed[] {
    const lists = this.#of(kind);
    const united = new Map<unknown, Listed>();
    for (const serverId of serverIds)
      for (const entry of lists.get(serverId)?.entries ?? []) {
        const id = entry[LISTS[kind].id];
        if (!united.has(id)) united.set(id, entry);
      }
    return [...united.values()];
  }

  /**
   * Asks every server anew, and unites what they say: each thing once, as the first of them describes it.
   * @param age milliseconds up to which a list is new enough. Default: 0, none is.
   * @throws why the first one gave no list, when no server's list is known.
   */
  async all(kind: ListKind, serverIds: readonly string[], age = 0): Promise<readonly Listed[]> {
    this.#refresh(kind, age);
    const lists = this.#of(kind);
    await Promise.all([...lists.values()].flatMap(({ loading }) => loading ?? []));
    const problem = [...lists.values()].find((list) => list.problem !== undefined)?.problem;
    if (problem !== undefined && [...lists.values()].every((list) => list.entries === undefined)) throw problem;
    return this.united(kind, serverIds);
  }

  /** A server said that lists of its have changed. */
  changed(serverId: string, notification: string): void {
    for (const kind of Object.keys(LISTS) as ListKind[]) {
      const list = this.#lists.get(kind)?.get(serverId);
      if (list && LISTS[kind].changed === notification) outdated(list);
    }
  }

  /** A server is back, perhaps as another one. */
  back(serverId: string): void {
    for (const lists of this.#lists.values()) {
      const list = lists.get(serverId);
      if (list) outdated(list);
    }
  }

  /** Whether a list of this server's is under way. */
  loading(serverId: string): boolean {
    return [...this.#lists.values()].some((lists) => lists.get(serverId)?.loading !== undefined);
  }

  forget(serverId: string): void {
    for (const [kind, lists] of this.#lists) {
      if (!lists.delete(serverId)) continue;
      this.#replace(kind, serverId, []);
      this.#parts.changed?.(kind);
    }
  }

  #of(kind: ListKind): Map<string, ServerList> {
    let lists = this.#lists.get(kind);
    if (!lists) this.#lists.set(kind, (lists = new Map()));
    return lists;
  }

  /** Begins to load what is older than this, or known to have changed. */
  #refresh(kind: ListKind, age: number): void {
    const { clock, askable } = this.#parts;
    const now = clock.now();
    const lists = this.#of(kind);
    for (const serverId of askable()) {
      let list = lists.get(serverId);
      if (!list) {
        list = {
          entries: undefined,
          loadedAt: -Infinity,
          triedAt: -Infinity,
          stale: true,
          loading: undefined,
          problem: undefined,
        };
        lists.set(serverId, list);
      }
      const due = list.stale ? now - list.triedAt >= Math.min(age, REST) : now - list.loadedAt >= age;
      if (due) list.loading ??= this.#load(kind, serverId, list);
    }
  }

  /** Never rejects. */
  async #load(kind: ListKind, serverId: string, list: ServerList): Promise<void> {
    const { load, clock } = this.#parts;
    list.triedAt = clock.now();
    list.stale = false;
    try {
      const entries = await load(serverId, kind);
      // It may have been forgotten meanwhile.
      if (this.#of(kind).get(serverId) !== list) return;
      const same = isDeepStrictEqual(list.entries, entries);
      if (!same) this.#replace(kind, serverId, entries);
      list.entries = entries;
      list.loadedAt = list.triedAt;
      list.problem = undefined;
      if (same) return;
      this.#parts.changed?.(kind);
    } catch (error) {
      list.stale = true;
      list.problem = error;
    } finally {
      list.loading = undefined;
    }
  }

  #replace(kind: ListKind, serverId: string, entries: readonly Listed[]): void {
    const all = this.#holders.get(kind) ?? new Map<string, Holders>();
    this.#holders.set(kind, all);
    const had = new Set(all.keys());
    for (const entry of entries) {
      const id = String(entry[LISTS[kind].id]);
      const holders = all.get(id) ?? { servers: new Set(), descriptions: new Map() };
      all.set(id, holders);
      holders.servers.add(serverId);
      holders.descriptions.set(serverId, entry);
      had.delete(id);
    }
    for (const id of had) {
      const holders = all.get(id);
      holders?.servers.delete(serverId);
      holders?.descriptions.delete(serverId);
      if (holders?.servers.size === 0) all.delete(id);
    }
  }
}

/** It is asked for anew as soon as it is used. */
function outdated(list: ServerList): void {
  list.stale = true;
  list.triedAt = -Infinity;
}
