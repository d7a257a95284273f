import { definePlugin, type ServerView } from "@davpool/core";

/**
 * Round-robin for pools that name no strategy, so that one works without any strategy package: the server whose last
 * turn is longest ago.
 */
export const inTurn = definePlugin({
  kind: "selector",
  name: "round-robin",
  aliases: ["round_robin"],
  create() {
    let turn = 0;
    const lastTurns = new Map<string, number>();
    const last = ({ serverId }: ServerView) => lastTurns.get(serverId) ?? 0;
    return {
      select(candidates) {
        let [chosen] = candidates;
        for (const candidate of candidates) if (last(candidate) < last(chosen)) chosen = candidate;
        lastTurns.set(chosen.serverId, ++turn);
        return chosen;
      },
      forget: (serverId: string) => void lastTurns.delete(serverId),
    };
  },
});
