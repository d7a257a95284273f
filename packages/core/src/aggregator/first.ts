import type { AggregateContext, Aggregator, ServerResult } from "../contracts/aggregator.ts";
import { definePlugin } from "../plugin/define-plugin.ts";

/** The first answer that is wanted, without waiting for the others, which are cancelled. */
function firstThat(wanted: <T>(result: ServerResult<T>, context: AggregateContext<T>) => boolean): Aggregator {
  return {
    async aggregate(arrivals, context) {
      const results = [];
      for await (const result of arrivals) {
        results.push(result);
        if (result.ok && wanted(result, context))
          return { value: result.value, from: [result.serverId], dissenters: [], results };
      }
      return { from: [], dissenters: [], results };
    },
  };
}

/** The first success. */
export const firstAggregator = definePlugin({
  kind: "aggregator",
  name: "first",
  create: () => firstThat((result, { succeeded }) => succeeded(result)),
});

/** The first answer of all, whatever it says. */
export const fastestAggregator = definePlugin({
  kind: "aggregator",
  name: "fastest",
  create: () => firstThat(() => true),
});
