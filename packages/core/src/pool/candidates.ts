import type { Wire } from "../contracts/wire.ts";
import type { Server } from "./server.ts";

export interface CandidateRules {
  /** Use the best priority tier only. */
  readonly tiers: boolean;
}

/** What narrows the choice for one attempt of one call. */
export interface Narrowing<W extends Wire> {
  readonly tried: ReadonlySet<string> | undefined;
  /** False for a server that may not take this request. */
  readonly admits: ((server: Server<W>) => boolean) | undefined;
  /** Only the first server of the best tier. */
  readonly primaryOnly: boolean;
}

/**
 * Says which servers may take an attempt: the active server while it is usable, else the usable servers of the best
 * tier, else (rather than fail without trying) the least bad server there is.
 *
 * The answer for a call without wishes is the same for every call until something changes, so it is kept.
 */
export class Candidates<W extends Wire> {
  readonly #rules: CandidateRules;
  readonly #servers: ReadonlyMap<string, Server<W>>;
  #usual: readonly Server<W>[] | undefined;
  #primary: readonly Server<W>[] | undefined;
  #activeServerId: string | undefined;

  constructor(rules: CandidateRules, servers: ReadonlyMap<string, Server<W>>) {
    this.#rules = rules;
    this.#servers = servers;
  }

  get activeServerId(): string | undefined {
    return this.#activeServerId;
  }

  set activeServerId(serverId: string | undefined) {
    this.#activeServerId = serverId;
    this.invalidate();
  }

  /** Forget what is kept: a server came, went or changed its state. */
  invalidate(): void {
    this.#usual = undefined;
    this.#primary = undefined;
  }

  /** Never changes the array it has given out. */
  for(narrowing: Narrowing<W>): readonly Server<W>[] {
    if (narrowing.tried || narrowing.admits) return this.#compute(narrowing);
    const kept = narrowing.primaryOnly ? this.#primary : this.#usual;
    if (kept) return kept;
    const found = this.#compute(narrowing);
    // Which server is the least bad changes with every failure, so a last resort is not kept.
    if (!found[0]?.record.usable) return found;
    if (narrowing.primaryOnly) this.#primary = found;
    else this.#usual = found;
    return found;
  }

  #compute({ tried, admits, primaryOnly }: Narrowing<W>): readonly Server<W>[] {
    const open = [...this.#servers.values()].filter(
      (server) => server.enabled && !tried?.has(server.serverId) && (!admits || admits(server)),
    );
    const usable = open.filter((server) => server.record.usable);
    const active = usable.find((server) => server.serverId === this.#activeServerId);
    if (active) return [active];
    if (usable.length === 0) return leastBad(open);
    if (!this.#rules.tiers && !primaryOnly) return usable;
    const tier = bestTier(usable);
    if (primaryOnly) return tier.slice(0, 1);
    // While all of them have only just recovered, the next tier keeps what they do not take yet.
    if (tier.some((server) => server.record.share === 1)) return tier;
    const others = usable.filter((server) => !tier.includes(server));
    return others.length > 0 ? [...tier, ...bestTier(others)] : tier;
  }
}

function bestTier<W extends Wire>(servers: readonly Server<W>[]): readonly Server<W>[] {
  const best = Math.min(...servers.map((server) => server.priority));
  return servers.filter((server) => server.priority === best);
}

/** The server with the fewest failures in a row; of equals the one of the best tier. */
function leastBad<W extends Wire>(servers: readonly Server<W>[]): readonly Server<W>[] {
  let best = servers[0];
  for (const server of servers) {
    if (!best) break;
    const fewer = server.record.consecutiveFailures - best.record.consecutiveFailures;
    if (fewer < 0 || (fewer === 0 && server.priority < best.priority)) best = server;
  }
  return best ? [best] : [];
}
