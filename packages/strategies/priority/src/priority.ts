import { definePlugin, type Selector, type ServerView } from "@davpool/core";

declare module "@davpool/core" {
  interface SelectorOptions {
    priority: object;
  }
}

/** Fills the best servers first: the highest priority that has a free slot, and of equals the least busy one. */
export const priority = definePlugin({ kind: "selector", name: "priority", create: () => new Priority() });

/** Of servers that are equally good and equally busy, the one whose last turn is longest ago. */
class Priority implements Selector {
  #turn = 0;
  readonly #lastTurns = new Map<string, number>();

  select(candidates: readonly [ServerView, ...ServerView[]]): ServerView {
    let chosen = candidates[0];
    let chosenTurn = this.#lastTurns.get(chosen.serverId) ?? 0;
    for (const candidate of candidates) {
      const turn = this.#lastTurns.get(candidate.serverId) ?? 0;
      const order = candidate.priority - chosen.priority || candidate.inFlight - chosen.inFlight || turn - chosenTurn;
      if (order >= 0) continue;
      chosen = candidate;
      chosenTurn = turn;
    }
    this.#lastTurns.set(chosen.serverId, ++this.#turn);
    return chosen;
  }

  forget(serverId: string): void {
    this.#lastTurns.delete(serverId);
  }
}
