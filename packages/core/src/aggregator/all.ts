import type { Aggregator } from "../contracts/aggregator.ts";
import { definePlugin } from "../plugin/define-plugin.ts";

/** Waits for every server and reports each. Chooses no answer of its own. */
export const allAnswers: Aggregator = {
  async aggregate(arrivals, { succeeded }) {
    const results = [];
    for await (const result of arrivals) results.push(result);
    return { from: results.filter(succeeded).map(({ serverId }) => serverId), dissenters: [], results };
  },
};

export const allAggregator = definePlugin({ kind: "aggregator", name: "all", create: () => allAnswers });
