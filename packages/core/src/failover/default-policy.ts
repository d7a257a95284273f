import { Type, type Static } from "typebox";
import type { FailoverContext, FailoverDecision, FailoverPolicy } from "../contracts/failover-policy.ts";
import type { FailureKind } from "../contracts/failure.ts";
import { definePlugin } from "../plugin/define-plugin.ts";
import { DurationSchema, milliseconds } from "../time/duration.ts";

const options = Type.Object({
  enabled: Type.Optional(
    Type.Boolean({ default: true, description: "Move to another server within a call. Off: the same server only." }),
  ),
  backoff: Type.Optional(
    DurationSchema({ default: "100ms", description: "First pause before a server is asked again; doubles each time." }),
  ),
  longestBackoff: Type.Optional(DurationSchema({ default: "5s", description: "Longest such pause." })),
  fallbackOrder: Type.Optional(
    Type.Array(Type.String(), {
      description: "Server ids, in the order in which a failed call tries them, whatever their priority.",
    }),
  ),
});

declare module "../config/define-config.ts" {
  interface FailoverOptions {
    default: Static<typeof options>;
  }
}

/** Failures after which the first move to another server costs nothing. */
const FREE: ReadonlySet<FailureKind> = new Set(["unsent", "broken", "refused"]);
const SETTLE: FailoverDecision = { action: "settle" };

/**
 * What follows a failure depends on what may have happened to the request and on whether it may be repeated:
 *
 * | failure | safe, idempotent | neither |
 * | --- | --- | --- |
 * | nothing was sent | another server | another server |
 * | broken or timed out after sending | another server | never again |
 * | 500 502 503 504 429 | another server | returned as it is |
 * | credentials refused | another server | another server |
 *
 * A request that names its server, or is bound to one, stays there. The first move to a server not yet tried is free
 * after `unsent`, `broken` and `refused`; everything else draws on the retry budget, or overload would double its own traffic.
 */
export function defaultFailoverPolicy(settings: {
  readonly enabled: boolean;
  /** Milliseconds. */
  readonly backoff: number;
  readonly longestBackoff: number;
  /** Server ids, best first. */
  readonly fallbackOrder?: readonly string[];
}): FailoverPolicy {
  const prefer = settings.fallbackOrder && { prefer: settings.fallbackOrder };
  return {
    decide(context) {
      const failure = context.attempts.at(-1)?.failure;
      if (!failure || !mayRepeat(context, failure.kind)) return SETTLE;

      const free = context.attempts.length === 1 && FREE.has(failure.kind);
      if (settings.enabled && !context.pinned && context.untried > 0)
        return { action: "retry", on: "other", delay: 0, charge: !free, ...prefer };
      if (failure.kind === "refused") return SETTLE;

      const pause = Math.min(settings.backoff * 2 ** (context.attempts.length - 1), settings.longestBackoff);
      const asked = Math.min(failure.retryAfter ?? 0, settings.longestBackoff);
      const on = settings.enabled && !context.pinned ? "other" : "same";
      return { action: "retry", on, delay: Math.max(asked, pause * (0.5 + context.random() / 2)), charge: true };
    },
  };
}

function mayRepeat({ traits, pinned }: FailoverContext, kind: FailureKind): boolean {
  switch (kind) {
    case "unsent":
      return true;
    case "refused":
      // The same credentials would be refused again.
      return !pinned;
    case "broken":
    case "timeout":
      // Bound to one server by a lock or entity tag: a repeat could apply twice what the first one changed.
      return (
        traits.repeat === "safe" ||
        (traits.repeat === "idempotent" && (!(pinned && traits.boundTo) || traits.repeatableWhereBound === true))
      );
    case "overload":
    case "unavailable":
      return traits.repeat !== "neither" && !(pinned && traits.boundTo);
    default:
      return false;
  }
}

export const defaultFailover = definePlugin({
  kind: "failover",
  name: "default",
  options,
  create: (_context, { enabled = true, backoff = "100ms", longestBackoff = "5s", fallbackOrder }) =>
    defaultFailoverPolicy({
      enabled,
      backoff: milliseconds(backoff),
      longestBackoff: milliseconds(longestBackoff),
      ...(fallbackOrder && { fallbackOrder }),
    }),
});
