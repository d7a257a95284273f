import { definePlugin, type Selector, type ServerView } from "@davpool/core";

declare module "@davpool/core" {
  interface SelectorOptions {
    "least-connections": object;
    least_connections: object;
    "least-loaded": object;
    least_loaded: object;
  }
}

/** Takes the server with the fewest attempts in flight; of equals the one whose last turn is longest ago. */
export const leastConnections = definePlugin({
  kind: "selector",
  name: "least-connections",
  aliases: ["least_connections", "least-loaded", "least_loaded"],
  create: () => new LeastConnections(),
});

class LeastConnections implements Selector {
  #turn = 0;
  readonly #lastTurns = new Map<string, number>();

  select(candidates: readonly [ServerView, ...ServerView[]]): ServerView {
    let chosen = candidates[0];
    let fewest = Infinity;
    let oldest = Infinity;
    for (const candidate of candidates) {
      const { inFlight } = candidate;
      if (inFlight > fewest) continue;
      // With one call at a time every server is a tie: without turns the first one would get all of them.
      const lastTurn = this.#lastTurns.get(candidate.serverId) ?? 0;
      if (inFlight === fewest && lastTurn >= oldest) continue;
      chosen = candidate;
      fewest = inFlight;
      oldest = lastTurn;
    }
    this.#lastTurns.set(chosen.serverId, ++this.#turn);
    return chosen;
  }

  forget(serverId: string): void {
    this.#lastTurns.delete(serverId);
  }
}
