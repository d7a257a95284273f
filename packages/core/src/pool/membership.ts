import { isDeepStrictEqual } from "node:util";
import type { AffinityStore } from "../contracts/affinity-store.ts";
import type { Clock } from "../contracts/clock.ts";
import type { ActiveServerChange, ChangeOptions, ProfileInput, RemovedServer } from "../contracts/pool.ts";
import type { ProfileStore, StoredServer, StoredState } from "../contracts/profile-store.ts";
import type { ServerOrigin } from "../contracts/server-profile.ts";
import type { Wire } from "../contracts/wire.ts";
import type { CompleteProfile } from "../config/server-profile.ts";
import { describeError } from "../errors/davpool-error.ts";
import {
  DuplicateServerError,
  ServerDeclaredError,
  ServerDisabledError,
  UnknownServerError,
} from "../errors/server-errors.ts";
import { Admission, type AdmissionParts } from "./admission.ts";
import type { Candidates } from "./candidates.ts";
import type { ChangeRecord } from "./change-record.ts";
import type { EventChannel } from "./events.ts";
import { overridden, pruned, withOverride } from "./overrides.ts";
import type { Server } from "./server.ts";
import { fromStored, merged, toStored } from "./stored-profile.ts";

export interface MembershipParts<W extends Wire> extends AdmissionParts<W> {
  readonly servers: Map<string, Server<W>>;
  readonly candidates: Candidates<W>;
  readonly store: ProfileStore;
  readonly affinity: AffinityStore;
  readonly events: EventChannel;
  readonly record: ChangeRecord<W>;
  readonly clock: Clock;
  readonly create: (profile: W["profile"], origin: ServerOrigin) => Server<W>;
  /** A server joined, or its profile changed. */
  readonly joined: (server: Server<W>) => void;
  /** A server takes no new attempts. */
  readonly left: (server: Server<W>) => void;
  readonly preferred: () => string | undefined;
}

/** A change that has been checked and waits to be made. Disposing of it instead gives it up. */
export interface PreparedChange extends Disposable {
  commit(): void;
}

/**
 * Who belongs to the pool. Declared servers come from the configuration, added ones from the store, which other
 * processes change as well; one change is made at a time.
 */
export class Membership<W extends Wire> {
  readonly #parts: MembershipParts<W>;
  readonly #admission: Admission<W>;
  /** Declared servers as the configuration has them. */
  #declared: ReadonlyMap<string, CompleteProfile> = new Map();
  #turn: Promise<unknown> = Promise.resolve();
  #watch: Disposable | undefined;

  constructor(parts: MembershipParts<W>) {
    this.#parts = parts;
    this.#admission = new Admission(parts);
  }

  /** Declared servers first, then those the store remembers. */
  start(declared: readonly ProfileInput[]): Promise<void> {
    return this.#inTurn(async () => {
      const { store } = this.#parts;
      const profiles = declared as readonly CompleteProfile[];
      for (const profile of profiles) await this.#admission.warn(profile, "declared");
      const state = await this.#loadFor(profiles);
      this.#declared = new Map(profiles.map((profile) => [profile.serverId, profile]));
      for (const profile of profiles) this.#join(overridden(profile, state), "declared");
      this.#adopt(state, true);
      this.#watch = store.watch?.(() => void this.#refresh());
    });
  }

  /**
   * Takes over what other processes changed. Reads anew when its turn has come: by then a change of this process may
   * have been saved, and what the store told of is older.
   */
  async #refresh(): Promise<void> {
    const { store, log } = this.#parts;
    try {
      await this.#inTurn(async () => this.#adopt(await store.load()));
    } catch (error) {
      log.error(`Changes by another process could not be taken over: ${describeError(error)}`);
    }
  }

  add(input: ProfileInput, { caller }: ChangeOptions = {}): Promise<Server<W>> {
    return this.#inTurn(() => {
      const { serverId, ...to } = input;
      return this.#parts.record.around({ action: "add", serverId, caller, from: {}, to }, async () => {
        const { store, transport, servers } = this.#parts;
        if (servers.has(serverId)) throw new DuplicateServerError(serverId);
        const written = { ...input, priority: input.priority ?? this.#lowestTier() };
        const profile = await this.#admission.admit(written);
        await store.update((state) => {
          if (state.servers.some((server) => server.serverId === serverId)) throw new DuplicateServerError(serverId);
          return { ...state, servers: [...state.servers, toStored(profile, transport)] };
        });
        return { result: this.#join(profile, "added") };
      });
    });
  }

  /** @returns the server, and the secrets that were dropped because it has another origin now. */
  update(
    serverId: string,
    changes: Readonly<Record<string, unknown>>,
    { caller }: ChangeOptions = {},
  ): Promise<{ readonly server: Server<W>; readonly dropped: readonly string[] }> {
    return this.#inTurn(() => {
      const server = this.#find(serverId);
      const before = server.profile as object as Readonly<Record<string, unknown>>;
      const from = Object.fromEntries(Object.keys(changes).map((field) => [field, before[field]]));
      return this.#parts.record.around({ action: "update", serverId, caller, from, to: changes }, async () => {
        if (server.origin === "declared") {
          await this.#switch(server, changes, caller?.principal);
          return { result: { server, dropped: [] } };
        }
        const { profile, dropped } = await this.#merge(serverId, changes);
        this.#change(server, profile);
        const also = Object.fromEntries(dropped.map((field) => [field, null]));
        return { result: { server, dropped }, also };
      });
    });
  }

  remove(serverId: string, { caller }: ChangeOptions = {}): Promise<RemovedServer> {
    return this.#inTurn(() => {
      const server = this.#find(serverId);
      const { serverId: _id, ...from } = server.profile as object as ProfileInput;
      return this.#parts.record.around({ action: "remove", serverId, caller, from, to: {} }, async () => {
        const { store, candidates, events, preferred } = this.#parts;
        if (server.origin === "declared") throw new ServerDeclaredError(serverId, "removed");
        const wasActive = candidates.activeServerId === serverId;
        await store.update((state) => ({
          ...state,
          activeServerId: state.activeServerId === serverId ? undefined : state.activeServerId,
          servers: state.servers.filter((stored) => stored.serverId !== serverId),
        }));
        const lost = await this.#leave(server);
        const preferredServerId = preferred();
        if (wasActive) events.emit("active-changed", { previousServerId: serverId, activeServerId: preferredServerId });
        return { result: { serverId, wasActive, preferredServerId, lost } };
      });
    });
  }

  activate(serverId: string | null, { caller }: ChangeOptions = {}): Promise<ActiveServerChange> {
    return this.#inTurn(() => {
      const { store, candidates, events, preferred, record } = this.#parts;
      const from = { activeServerId: candidates.activeServerId };
      const to = { activeServerId: serverId };
      return record.around({ action: "activate", serverId, caller, from, to }, async () => {
        if (serverId !== null && !this.#find(serverId).enabled) throw new ServerDisabledError(serverId);
        const previousServerId = preferred();
        await store.update((state) => ({ ...state, activeServerId: serverId ?? undefined }));
        candidates.activeServerId = serverId ?? undefined;
        const change = { previousServerId, activeServerId: preferred() };
        events.emit("active-changed", change);
        return { result: change };
      });
    });
  }

  /** Makes the declared servers those of a new configuration. Nothing changes when one of them is refused. */
  async apply(declared: readonly ProfileInput[]): Promise<void> {
    (await this.prepare(declared)).commit();
  }

  /**
   * The first half of {@link Membership.apply}, with everything in it that takes time or may fail. No other change
   * comes between it and the second half.
   */
  prepare(declared: readonly ProfileInput[]): Promise<PreparedChange> {
    const { promise: prepared, resolve, reject } = Promise.withResolvers<PreparedChange>();
    this.#inTurn(async () => {
      const { servers } = this.#parts;
      const wanted = new Map(declared.map((profile) => [profile.serverId, this.#admission.read(profile)]));
      for (const profile of wanted.values()) await this.#admission.warn(profile, "declared");
      const state = await this.#loadFor([...wanted.values()]);
      const { promise: decided, resolve: decide } = Promise.withResolvers<void>();
      const commit = () => {
        for (const server of servers.values())
          if (server.origin === "declared" && !wanted.has(server.serverId)) void this.#leave(server);
        this.#declared = wanted;
        for (const [serverId, written] of wanted) {
          const known = servers.get(serverId);
          const profile = overridden(written, state);
          if (known?.origin === "declared") this.#change(known, profile);
          else {
            if (known) void this.#leave(known);
            this.#join(profile, "declared");
          }
        }
        // A stored server may have waited behind a declared one of its name, and the active one may be gone.
        this.#adopt(state, true);
        decide();
      };
      resolve({ commit, [Symbol.dispose]: decide });
      await decided;
    }).catch(reject);
    return prepared;
  }

  stop(): void {
    this.#watch?.[Symbol.dispose]();
  }

  /** Changes wait for each other; one that fails does not stop the next. */
  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(change);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** The stored state, without overrides that the configuration agrees with by now. */
  async #loadFor(declared: readonly CompleteProfile[]): Promise<StoredState> {
    const { store } = this.#parts;
    const state = await store.load();
    return pruned(state, declared) === state ? state : store.update((newest) => pruned(newest, declared));
  }

  /** Enables or disables a declared server, and keeps that in the store. */
  async #switch(server: Server<W>, changes: Readonly<Record<string, unknown>>, by: string | undefined): Promise<void> {
    const { store, clock } = this.#parts;
    const { serverId } = server;
    const others = Object.keys(changes).filter((field) => field !== "enabled");
    if (others.length > 0) throw new ServerDeclaredError(serverId, `changed (${others.join(", ")})`);
    const { enabled } = this.#admission.read({ ...(server.profile as object as ProfileInput), ...changes });
    const declared = this.#declared.get(serverId);
    const at = clock.wall().toISOString();
    const override = declared?.enabled === enabled ? undefined : { enabled, at, ...(by !== undefined && { by }) };
    const state = await store.update((found) => withOverride(found, serverId, override));
    this.#applyOverrides(state);
  }

  /**
   * Changes fields of a stored server. What is stored by the time of writing is what they are merged into: another
   * process may have changed other fields since this one looked.
   */
  async #merge(
    serverId: string,
    changes: Readonly<Record<string, unknown>>,
  ): Promise<{ readonly profile: CompleteProfile; readonly dropped: readonly string[] }> {
    const { store, transport } = this.#parts;
    const find = ({ servers }: StoredState): StoredServer => {
      const stored = servers.find((candidate) => candidate.serverId === serverId);
      // Another process may have removed it.
      if (!stored) throw new UnknownServerError(serverId, this.#ids());
      return stored;
    };
    for (let found = find(await store.load()); ;) {
      const { written, dropped } = merged(found, changes, transport);
      // It takes time, so it comes before the store is locked.
      const profile = await this.#admission.admit(written);
      const admittedFor = found;
      const state = await store.update((newest) => {
        found = find(newest);
        if (!isDeepStrictEqual(found, admittedFor)) return newest;
        const entry = toStored(profile, transport);
        return { ...newest, servers: newest.servers.map((stored) => (stored === found ? entry : stored)) };
      });
      if (isDeepStrictEqual(found, admittedFor)) {
        this.#adopt(state);
        return { profile, dropped };
      }
    }
  }

  #find(serverId: string): Server<W> {
    const server = this.#parts.servers.get(serverId);
    if (!server) throw new UnknownServerError(serverId, this.#ids());
    return server;
  }

  #ids(): readonly string[] {
    return [...this.#parts.servers.keys()];
  }

  #lowestTier(): number {
    return Math.max(1, ...[...this.#parts.servers.values()].map((server) => server.priority));
  }

  /** Has declared servers take requests or not as callers have said. @param told say which ones, for the operator. */
  #applyOverrides(state: StoredState, told = false): void {
    const { servers, log } = this.#parts;
    for (const [serverId, profile] of this.#declared) {
      const server = servers.get(serverId);
      if (server?.origin !== "declared") continue;
      const override = state.overrides?.[serverId];
      server.override = override;
      this.#change(server, overridden(profile, state));
      if (!told || !override) continue;
      const { enabled, by, at } = override;
      log.warn(
        `Server "${serverId}" is ${enabled ? "enabled" : "disabled"}, unlike in the configuration, because ${by ?? "a caller"} ${enabled ? "enabled" : "disabled"} it at ${at}. It stays so until somebody ${enabled ? "disables" : "enables"} it again.`,
        { serverId, ...override },
      );
    }
  }

  /** Makes the added servers those of a state that was read from the store, and the declared ones as callers want them. */
  #adopt(state: StoredState, told = false): void {
    const { servers, candidates, log, events, preferred } = this.#parts;
    this.#applyOverrides(state, told);
    const stored = new Set(state.servers.map((server) => server.serverId));
    for (const server of servers.values())
      if (server.origin === "added" && !stored.has(server.serverId)) void this.#leave(server);
    for (const entry of state.servers) {
      try {
        this.#adoptServer(entry);
      } catch (error) {
        log.error(`Stored server "${entry.serverId}" is left out: ${describeError(error)}`, {
          serverId: entry.serverId,
        });
      }
    }
    const { activeServerId } = state;
    const active = activeServerId !== undefined && servers.has(activeServerId) ? activeServerId : undefined;
    if (active === candidates.activeServerId) return;
    const previousServerId = preferred();
    candidates.activeServerId = active;
    events.emit("active-changed", { previousServerId, activeServerId: preferred() });
  }

  #adoptServer(entry: StoredServer): void {
    const { servers, log } = this.#parts;
    const known = servers.get(entry.serverId);
    if (known?.origin === "declared") {
      log.warn(
        `Server "${entry.serverId}" is declared in the configuration and stored as well; the configuration wins.`,
        {
          serverId: entry.serverId,
        },
      );
      return;
    }
    const profile = this.#admission.readUntrusted(fromStored(entry));
    if (known) this.#change(known, profile);
    else this.#join(profile, "added");
  }

  #join(profile: CompleteProfile, origin: ServerOrigin): Server<W> {
    const { servers, candidates, create, joined, events } = this.#parts;
    const server = create(profile, origin);
    servers.set(server.serverId, server);
    candidates.invalidate();
    joined(server);
    events.emit("servers-changed", { serverId: server.serverId, change: "added" });
    return server;
  }

  #change(server: Server<W>, profile: CompleteProfile): void {
    if (isDeepStrictEqual(server.profile, profile)) return;
    server.change(profile);
    this.#parts.candidates.invalidate();
    this.#parts.joined(server);
    this.#parts.events.emit("servers-changed", { serverId: server.serverId, change: "updated" });
  }

  /** Returns what it owned, once that is forgotten. */
  #leave(server: Server<W>): Promise<readonly string[]> {
    const { servers, candidates, left, events } = this.#parts;
    servers.delete(server.serverId);
    if (candidates.activeServerId === server.serverId) candidates.activeServerId = undefined;
    candidates.invalidate();
    left(server);
    events.emit("servers-changed", { serverId: server.serverId, change: "removed" });
    return this.forget(server.serverId);
  }

  /** Forgets what a server owned, and returns it. */
  async forget(serverId: string): Promise<readonly string[]> {
    const { affinity, log } = this.#parts;
    try {
      return (await affinity.forget?.(serverId)) ?? [];
    } catch (error) {
      log.warn("What a server owned could not be forgotten.", { serverId, error: describeError(error) });
      return [];
    }
  }
}
