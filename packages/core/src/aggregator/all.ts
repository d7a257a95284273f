import type { Aggregator } from "../contracts/aggregator.ts";
import { definePlugin } from "../plugin/define-plugin.ts";

/** Waits for every server and reports each. Chooses no answer of its own. */
export const allAnswers: Aggregator = {
  async aggregate(arrivals) {
    const results = [];
    for await (const result of arrivals) results.push(result);
    return { from: results.flatMap((result) => (result.ok ? [result.serverId] : [])), results };
  },
};

export const allAggregator = definePlugin({ kind: "aggregator", name: "all", create: () => allAnswers });
