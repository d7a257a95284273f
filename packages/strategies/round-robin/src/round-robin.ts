import { definePlugin, type Selector, type ServerView } from "@davpool/core";

declare module "@davpool/core" {
  interface SelectorOptions {
    "round-robin": object;
    round_robin: object;
  }
}

/** Takes servers in turn: of those that may take the request, the one whose last turn is longest ago. */
export const roundRobin = definePlugin({
  kind: "selector",
  name: "round-robin",
  aliases: ["round_robin"],
  create: () => new RoundRobin(),
});

/**
 * Remembers when each server had its turn instead of an index into the candidates: those change from call to call,
 * and an index taken modulo a changing length favours whoever follows a server that is missing.
 */
class RoundRobin implements Selector {
  #turn = 0;
  readonly #lastTurns = new Map<string, number>();

  select(candidates: readonly [ServerView, ...ServerView[]]): ServerView {
    let chosen = candidates[0];
    let oldest = Infinity;
    for (const candidate of candidates) {
      // A server that never had a turn gets one next; afterwards it waits like everybody, with nothing to catch up.
      const lastTurn = this.#lastTurns.get(candidate.serverId) ?? 0;
      if (lastTurn >= oldest) continue;
      chosen = candidate;
      oldest = lastTurn;
    }
    this.#lastTurns.set(chosen.serverId, ++this.#turn);
    return chosen;
  }

  forget(serverId: string): void {
    this.#lastTurns.delete(serverId);
  }
}
