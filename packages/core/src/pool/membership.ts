import { isDeepStrictEqual } from "node:util";
import type { AffinityStore } from "../contracts/affinity-store.ts";
import type { Log } from "../contracts/log.ts";
import type { ActiveServerChange, ProfileInput, RemovedServer } from "../contracts/pool.ts";
import type { ProfileStore, StoredServer, StoredState } from "../contracts/profile-store.ts";
import type { ServerOrigin } from "../contracts/server-profile.ts";
import type { Transport } from "../contracts/transport.ts";
import type { Wire } from "../contracts/wire.ts";
import type { CompleteProfile, ProfileReader } from "../config/server-profile.ts";
import { formatIssue } from "../errors/config-errors.ts";
import { describeError } from "../errors/davpool-error.ts";
import {
  DuplicateServerError,
  InvalidProfileError,
  ServerDeclaredError,
  ServerDisabledError,
  UnknownServerError,
} from "../errors/server-errors.ts";
import type { Candidates } from "./candidates.ts";
import type { EventChannel } from "./events.ts";
import type { Server } from "./server.ts";

export interface MembershipParts<W extends Wire> {
  readonly servers: Map<string, Server<W>>;
  readonly candidates: Candidates<W>;
  readonly transport: Transport<W>;
  readonly store: ProfileStore;
  readonly readProfile: ProfileReader;
  readonly affinity: AffinityStore;
  readonly events: EventChannel;
  readonly log: Log;
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
  #turn: Promise<unknown> = Promise.resolve();
  #watch: Disposable | undefined;

  constructor(parts: MembershipParts<W>) {
    this.#parts = parts;
  }

  /** Declared servers first, then those the store remembers. */
  start(declared: readonly ProfileInput[]): Promise<void> {
    return this.#inTurn(async () => {
      const { store } = this.#parts;
      for (const profile of declared) {
        await this.#warn(profile as CompleteProfile, "declared");
        this.#join(profile as CompleteProfile, "declared");
      }
      this.#adopt(await store.load());
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

  add(input: ProfileInput): Promise<Server<W>> {
    return this.#inTurn(async () => {
      const { store, transport, servers } = this.#parts;
      if (servers.has(input.serverId)) throw new DuplicateServerError(input.serverId);
      const written = { ...input, priority: input.priority ?? this.#lowestTier() };
      const profile = await this.#admit(written);
      await store.update((state) => {
        if (state.servers.some((server) => server.serverId === profile.serverId))
          throw new DuplicateServerError(profile.serverId);
        return { ...state, servers: [...state.servers, toStored(profile, transport.secretFields)] };
      });
      return this.#join(profile, "added");
    });
  }

  update(serverId: string, changes: Readonly<Record<string, unknown>>): Promise<Server<W>> {
    return this.#inTurn(async () => {
      const { store, transport } = this.#parts;
      const server = this.#find(serverId);
      if (server.origin === "declared") {
        const others = Object.keys(changes).filter((field) => field !== "enabled");
        if (others.length > 0) throw new ServerDeclaredError(serverId, `changed (${others.join(", ")})`);
      }
      const written = { ...(server.profile as object as ProfileInput), ...changes, serverId };
      const profile = server.origin === "added" ? await this.#admit(written) : this.#read(written);
      if (server.origin === "added") {
        await store.update((state) => {
          // Another process may have removed it.
          if (!state.servers.some((stored) => stored.serverId === serverId))
            throw new UnknownServerError(serverId, this.#ids());
          const entry = toStored(profile, transport.secretFields);
          return {
            ...state,
            servers: state.servers.map((stored) => (stored.serverId === serverId ? entry : stored)),
          };
        });
      }
      this.#change(server, profile);
      return server;
    });
  }

  remove(serverId: string): Promise<RemovedServer> {
    return this.#inTurn(async () => {
      const { store, candidates, events, preferred } = this.#parts;
      const server = this.#find(serverId);
      if (server.origin === "declared") throw new ServerDeclaredError(serverId, "removed");
      const wasActive = candidates.activeServerId === serverId;
      await store.update((state) => ({
        activeServerId: state.activeServerId === serverId ? undefined : state.activeServerId,
        servers: state.servers.filter((stored) => stored.serverId !== serverId),
      }));
      const lost = await this.#leave(server);
      const preferredServerId = preferred();
      if (wasActive) events.emit("active-changed", { previousServerId: serverId, activeServerId: preferredServerId });
      return { serverId, wasActive, preferredServerId, lost };
    });
  }

  activate(serverId: string | null): Promise<ActiveServerChange> {
    return this.#inTurn(async () => {
      const { store, candidates, events, preferred } = this.#parts;
      if (serverId !== null && !this.#find(serverId).enabled) throw new ServerDisabledError(serverId);
      const previousServerId = preferred();
      await store.update((state) => ({ ...state, activeServerId: serverId ?? undefined }));
      candidates.activeServerId = serverId ?? undefined;
      const change = { previousServerId, activeServerId: preferred() };
      events.emit("active-changed", change);
      return change;
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
      const { servers, store } = this.#parts;
      const wanted = new Map(declared.map((profile) => [profile.serverId, this.#read(profile)]));
      for (const profile of wanted.values()) await this.#warn(profile, "declared");
      const state = await store.load();
      const { promise: decided, resolve: decide } = Promise.withResolvers<void>();
      const commit = () => {
        for (const server of servers.values())
          if (server.origin === "declared" && !wanted.has(server.serverId)) void this.#leave(server);
        for (const [serverId, profile] of wanted) {
          const known = servers.get(serverId);
          if (known?.origin === "declared") this.#change(known, profile);
          else {
            if (known) void this.#leave(known);
            this.#join(profile, "declared");
          }
        }
        // A stored server may have waited behind a declared one of its name, and the active one may be gone.
        this.#adopt(state);
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

  #read(written: ProfileInput): CompleteProfile {
    const { profile, issues } = this.#parts.readProfile(written);
    if (issues.length > 0) throw new InvalidProfileError(written.serverId, issues.map(formatIssue));
    return profile;
  }

  /** Checks a profile from an untrusted caller. */
  async #admit(written: ProfileInput): Promise<CompleteProfile> {
    const profile = this.#readUntrusted(written);
    await this.#warn(profile, "added");
    return profile;
  }

  /** Reads a profile that no operator wrote, from a caller or from a file: it may make nobody read files or run commands. */
  #readUntrusted(written: ProfileInput): CompleteProfile {
    const profile = this.#read(written);
    const places = this.#parts.transport.secretFields.filter(
      (field) => profile[field] !== undefined && typeof profile[field] !== "string",
    );
    if (places.length > 0)
      throw new InvalidProfileError(profile.serverId, [
        `${places.join(", ")}: only the operator's configuration may name a place to read a secret from; give the secret itself.`,
      ]);
    return profile;
  }

  /** Lets the transport refuse a profile, or say what the operator should know. */
  async #warn(profile: CompleteProfile, origin: ServerOrigin): Promise<void> {
    const { transport, log } = this.#parts;
    for (const warning of (await transport.admit?.(profile, origin)) ?? [])
      log.warn(warning, { serverId: profile.serverId });
  }

  /** Makes the added servers those of a state that was read from the store. */
  #adopt(state: StoredState): void {
    const { servers, candidates, log, events, preferred } = this.#parts;
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
    const profile = this.#readUntrusted({ ...entry.profile, ...entry.secrets, serverId: entry.serverId });
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

function toStored(profile: CompleteProfile, secretFields: readonly string[]): StoredServer {
  const { serverId, ...fields } = profile;
  const secret = new Set(secretFields);
  return {
    serverId,
    profile: Object.fromEntries(Object.entries(fields).filter(([field]) => !secret.has(field))),
    secrets: Object.fromEntries(
      secretFields.flatMap((field) => (typeof profile[field] === "string" ? [[field, profile[field]]] : [])),
    ),
  };
}
