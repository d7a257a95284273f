import type { Aggregate, AggregateContext, Aggregator, ServerResult } from "../contracts/aggregator.ts";
import { definePlugin } from "../plugin/define-plugin.ts";

/** The answer that more than half of the servers asked agree on; who answered otherwise dissents. Waits for all. */
const majorityAnswer: Aggregator = {
  async aggregate<T>(
    arrivals: AsyncIterable<ServerResult<T>>,
    { servers, key }: AggregateContext<T>,
  ): Promise<Aggregate<T>> {
    const results: ServerResult<T>[] = [];
    const voices = new Map<string, { readonly value: T; readonly from: string[] }>();
    for await (const result of arrivals) {
      results.push(result);
      if (!result.ok) continue;
      const voice = voices.get(key(result.value));
      if (voice) voice.from.push(result.serverId);
      else voices.set(key(result.value), { value: result.value, from: [result.serverId] });
    }
    const agreed = [...voices.values()].find(({ from }) => from.length > servers / 2);
    const dissenters = [...voices.values()].filter((voice) => voice !== agreed).flatMap(({ from }) => from);
    return { ...(agreed && { value: agreed.value }), from: agreed?.from ?? [], dissenters, results };
  },
};

export const majorityAggregator = definePlugin({ kind: "aggregator", name: "majority", create: () => majorityAnswer });
