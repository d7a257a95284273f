import { definePlugin, type Selector, type ServerView } from "@davpool/core";

declare module "@davpool/core" {
  interface SelectorOptions {
    weighted: object;
  }
}

/** Gives each server its share by weight, evenly spread: smooth weighted round-robin, as nginx does it. */
export const weighted = definePlugin({ kind: "selector", name: "weighted", create: () => new Weighted() });

/**
 * Every candidate earns its weight at each choice; the richest is taken and pays what all of them earned. So a server of
 * weight 3 beside one of weight 1 gets three of four, and never three in a row followed by one where 2 and 2 would do.
 */
class Weighted implements Selector {
  readonly #credit = new Map<string, number>();

  select(candidates: readonly [ServerView, ...ServerView[]]): ServerView {
    let chosen = candidates[0];
    let most = -Infinity;
    let earned = 0;
    for (const candidate of candidates) {
      const credit = (this.#credit.get(candidate.serverId) ?? 0) + candidate.weight;
      this.#credit.set(candidate.serverId, credit);
      earned += candidate.weight;
      if (credit <= most) continue;
      chosen = candidate;
      most = credit;
    }
    this.#credit.set(chosen.serverId, most - earned);
    return chosen;
  }

  forget(serverId: string): void {
    this.#credit.delete(serverId);
  }
}
