import type { AffinityStore } from "../contracts/affinity-store.ts";
import type { AttemptRecord } from "../contracts/failover-policy.ts";
import type { Log } from "../contracts/log.ts";
import type { PolicyCall } from "../contracts/policy.ts";
import type { RequestTraits } from "../contracts/request-traits.ts";
import type { Selector } from "../contracts/selector.ts";
import type { Transport } from "../contracts/transport.ts";
import type { Caller, MaybePromise, Wire } from "../contracts/wire.ts";
import {
  AffinityConflictError,
  AffinityUnavailableError,
  AffinityUnknownError,
  NoServerAvailableError,
  PolicyDeniedError,
  type ServerReport,
} from "../errors/call-errors.ts";
import { describeThrown } from "../errors/plugin-errors.ts";
import { ServerDisabledError, UnknownServerError } from "../errors/server-errors.ts";
import type { Candidates } from "./candidates.ts";
import type { PartNames } from "./part-names.ts";
import type { Policies } from "./policies.ts";
import type { Server } from "./server.ts";

export interface RouteParts<W extends Wire> {
  readonly pool: string;
  readonly servers: ReadonlyMap<string, Server<W>>;
  readonly candidates: Candidates<W>;
  readonly transport: Transport<W>;
  readonly selector: Selector;
  readonly policies: Policies<W>;
  readonly names: PartNames;
  readonly affinity: AffinityStore;
  readonly random: () => number;
  readonly writes: "balanced" | "primary";
  readonly log: Log;
}

/** Where one call may go: the servers that may take its next attempt, and the choice among them. */
export class Route<W extends Wire> {
  readonly #parts: RouteParts<W>;
  readonly #caller: Caller;
  /** The call's attempts, as they are made. */
  readonly #attempts: readonly AttemptRecord[];
  #traits: RequestTraits;
  /** The only server that may take the call. */
  #pinned: Server<W> | undefined;
  /** A lock or entity tag pins it, and not the caller. */
  #bound = false;
  /** The only server that may take the next attempt. */
  #next: Server<W> | undefined;
  #tried: Set<string> | undefined;
  /** False for a server that policies keep this call from. */
  #allowed: ((server: Server<W>) => boolean) | undefined;
  /** False for a server that may not or cannot take this request. */
  #admits: ((server: Server<W>) => boolean) | undefined;
  /** The slot that was taken last is that of a trial. */
  trial = false;

  constructor(parts: RouteParts<W>, caller: Caller, traits: RequestTraits, attempts: readonly AttemptRecord[]) {
    this.#parts = parts;
    this.#caller = caller;
    this.#traits = traits;
    this.#attempts = attempts;
  }

  /** The only server that may take the call, where there is one. */
  get pinned(): Server<W> | undefined {
    return this.#pinned;
  }

  /** Leads to the one server that the caller names. */
  pinTo(serverId: string): void {
    const { servers } = this.#parts;
    const server = servers.get(serverId);
    if (!server) throw new UnknownServerError(serverId, [...servers.keys()]);
    this.#pin(server);
  }

  /**
   * Leads to the server that owns these locks and entity tags.
   * @param wait waits for the affinity store, within the call's time.
   */
  async bindTo(keys: readonly string[], wait: <R>(work: MaybePromise<R>) => Promise<R>): Promise<void> {
    const { servers, affinity } = this.#parts;
    const owners = new Set<string>();
    for (const key of keys) {
      const owner = await wait(affinity.get(key));
      if (owner !== undefined) owners.add(owner);
    }
    const [owner] = owners;
    if (owners.size > 1) throw new AffinityConflictError(this.#traits.operation, [...owners]);
    const [only] = servers.size === 1 ? servers.values() : [];
    const server = owner === undefined ? only : (servers.get(owner) ?? only);
    this.#bound = server !== undefined && server !== only;
    if (server) this.#pin(server);
    else if (this.#traits.repeat !== "safe")
      throw new AffinityUnknownError(this.#traits.operation, [...servers.keys()]);
  }

  /** Puts together, once, which servers may take the request at all, as the last policy left it. */
  narrow(call: PolicyCall<W>): void {
    const { transport, policies } = this.#parts;
    this.#traits = call.traits;
    const allowed = policies.judge(call);
    this.#allowed = allowed;
    this.#admits = transport.serves
      ? (server) => (transport.serves?.(server.profile, call.request) ?? true) && (allowed?.(server) ?? true)
      : allowed;
  }

  /** An attempt on this server failed. */
  tried(serverId: string): void {
    this.#tried = (this.#tried ?? new Set()).add(serverId);
  }

  /** The next attempt goes to this server again. */
  again(server: Server<W>): void {
    this.#next = server;
  }

  /** The next attempt goes on, to the first of these that can be tried if there is one. */
  goOn(preferred: readonly string[] | undefined): void {
    this.#next = undefined;
    for (const serverId of preferred ?? []) {
      const server = this.#parts.servers.get(serverId);
      if (!server?.enabled || this.#tried?.has(serverId) || !server.record.usable) continue;
      if (this.#admits && !this.#admits(server)) continue;
      this.#next = server;
      return;
    }
  }

  /**
   * A server whose slot is taken now; undefined when every candidate is busy.
   * @throws the error to give when there is no candidate.
   */
  readonly choose = (): Server<W> | undefined => {
    const candidates = this.#candidates();
    if (candidates.length === 0) throw this.#nobody();
    const { principal } = this.#caller;
    const free = withSlots(candidates, principal);
    const [first] = free;
    if (!first) return undefined;
    const server = free.length === 1 ? first : this.#share(free as [Server<W>, ...Server<W>[]]);
    this.trial = server.take(principal);
    return server;
  };

  /** Servers that may take the request and were not tried. */
  get untried(): number {
    if (this.#pinned) return 0;
    let count = 0;
    for (const server of this.#parts.servers.values())
      if (server.enabled && !this.#tried?.has(server.serverId) && (!this.#admits || this.#admits(server))) count++;
    return count;
  }

  /** The error of a call that no server answered. */
  unanswered(): Error {
    const { pool, servers } = this.#parts;
    if (this.#pinned && this.#bound)
      return new AffinityUnavailableError(this.#traits.operation, this.#pinned.serverId, this.#attempts);
    const asked = this.#pinned ? [this.#pinned] : [...servers.values()];
    const reports = asked.map((server): ServerReport => {
      const last = this.#attempts.findLast((attempt) => attempt.serverId === server.serverId);
      const problem = last?.failure?.message ?? server.record.problem;
      return {
        serverId: server.serverId,
        status: server.enabled ? server.health : "disabled",
        ...(problem !== undefined && { problem }),
      };
    });
    return new NoServerAvailableError(pool, reports, this.#attempts);
  }

  #pin(server: Server<W>): void {
    if (!server.enabled) throw new ServerDisabledError(server.serverId);
    this.#pinned = server;
  }

  #candidates(): readonly Server<W>[] {
    const { servers, candidates, transport, writes } = this.#parts;
    const only = this.#pinned ?? this.#next;
    if (only) {
      if (servers.get(only.serverId) !== only || !only.enabled) return [];
      return this.#allowed === undefined || this.#allowed(only) ? [only] : [];
    }
    const admits = this.#admits;
    const primaryOnly = writes === "primary" && this.#traits.repeat !== "safe";
    const familiar = transport.partition && !primaryOnly ? this.#familiar() : undefined;
    if (familiar) return [familiar];
    const untroubled = this.#untroubled(primaryOnly);
    if (untroubled) return untroubled;
    const fresh = candidates.for({ tried: this.#tried, admits, primaryOnly });
    if (fresh.length > 0 || !this.#tried) return fresh;
    // Everybody was tried: ask again, the one that failed last only if there is no other.
    const last = new Set(this.#attempts.slice(-1).map((attempt) => attempt.serverId));
    const others = candidates.for({ tried: last, admits, primaryOnly });
    return others.length > 0 ? others : candidates.for({ tried: undefined, admits, primaryOnly });
  }

  /** Where the same has failed again and again on one of the servers: those that can be asked instead, if there are any. */
  #untroubled(primaryOnly: boolean): readonly Server<W>[] | undefined {
    const { servers, candidates } = this.#parts;
    const { principal } = this.#caller;
    const { resource } = this.#traits;
    const avoided = (server: Server<W>) => server.record.avoids(principal, resource);
    let any = false;
    for (const server of servers.values()) any ||= avoided(server);
    if (!any) return undefined;
    const admits = this.#admits;
    const found = candidates.for({
      tried: this.#tried,
      admits: (server) => !avoided(server) && (!admits || admits(server)),
      primaryOnly,
    });
    return found[0]?.record.usable ? found : undefined;
  }

  /**
   * The usable server where the caller's own connection is open, whatever its tier: what it keeps for the caller is
   * nowhere else. Of several, the one it was led to last.
   */
  #familiar(): Server<W> | undefined {
    let familiar: Server<W> | undefined;
    let latest = -1;
    for (const server of this.#parts.servers.values()) {
      if (!server.enabled || !server.record.usable || this.#tried?.has(server.serverId)) continue;
      const chosen = server.lastChoice(this.#caller);
      if (chosen === undefined || chosen <= latest || (this.#admits && !this.#admits(server))) continue;
      [familiar, latest] = [server, chosen];
    }
    return familiar;
  }

  /**
   * A server that has just recovered gets its growing share by lot, whatever the strategy is and whatever it remembers;
   * among those that have their whole share the strategy chooses.
   */
  #share(candidates: readonly [Server<W>, ...Server<W>[]]): Server<W> {
    let [min, max] = [1, 0];
    for (const { record } of candidates) {
      const { share } = record;
      if (share < min) min = share;
      if (share > max) max = share;
    }
    // All of them have the same share, which is the rule.
    if (min >= max) return this.#select(candidates);
    let total = 0;
    for (const { record, weight } of candidates) total += weight * record.share;
    let lot = this.#parts.random() * total;
    const whole: Server<W>[] = [];
    for (const candidate of candidates) {
      const { share } = candidate.record;
      if (share >= max) whole.push(candidate);
      else if ((lot -= candidate.weight * share) < 0) return candidate;
    }
    return this.#select(whole as [Server<W>, ...Server<W>[]]);
  }

  /** The selector's choice; the first candidate if it fails to make one. */
  #select(candidates: readonly [Server<W>, ...Server<W>[]]): Server<W> {
    if (candidates.length === 1) return candidates[0];
    const { selector, names, log } = this.#parts;
    let problem: string;
    try {
      const server: unknown = selector.select(candidates, this.#traits);
      if (candidates.includes(server as Server<W>)) return server as Server<W>;
      if (server instanceof Promise) {
        server.catch(() => undefined);
        problem = "returned a promise from select, which must return one of the candidates at once";
      } else problem = "returned none of the candidates from select";
    } catch (thrown) {
      problem = `failed in select: ${describeThrown(thrown)}`;
    }
    const [first] = candidates;
    log.error(`The strategy "${names.strategy}" ${problem}. The request goes to ${first.serverId}.`);
    return first;
  }

  /** There is no candidate: because of the policies, or of the servers. */
  #nobody(): Error {
    const { servers } = this.#parts;
    const allowed = this.#allowed;
    const asked = this.#pinned ? [this.#pinned] : [...servers.values()].filter((server) => server.enabled);
    if (allowed && asked.length > 0 && !asked.some(allowed)) {
      const ids = asked.map((server) => server.serverId).join(", ");
      return new PolicyDeniedError(this.#traits.operation, `no server is left that the policies allow it on (${ids})`);
    }
    return this.unanswered();
  }
}

function withSlots<W extends Wire>(
  candidates: readonly Server<W>[],
  principal: string | undefined,
): readonly Server<W>[] {
  for (const candidate of candidates) {
    if (!candidate.freeFor(principal)) return candidates.filter((server) => server.freeFor(principal));
  }
  return candidates;
}
