import { definePlugin } from "@davpool/core";
import { Type } from "typebox";

const options = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, default: 4, description: "Requests the first server may carry." })),
});

declare module "@davpool/core" {
  interface SelectorOptions {
    "fill-first": { readonly limit?: number };
  }
}

/** Gives the first server all it may carry, and the next one the rest: a strategy that davpool does not have. */
export default definePlugin({
  kind: "selector",
  name: "fill-first",
  options,
  create: (_context, { limit = 4 }) => ({
    select(candidates) {
      for (const candidate of candidates) if (candidate.inFlight < limit) return candidate;
      return candidates[0];
    },
  }),
});
