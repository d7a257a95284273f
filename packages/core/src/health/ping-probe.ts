import { Type, type Static } from "typebox";
import { definePlugin } from "../plugin/define-plugin.ts";
import { DurationSchema, milliseconds } from "../time/duration.ts";

const options = Type.Object({
  slow: Type.Optional(
    DurationSchema({ default: "1s", description: "A server that takes longer to answer is degraded." }),
  ),
});

declare module "../config/define-config.ts" {
  interface ProbeOptions {
    ping: Static<typeof options>;
  }
}

/** The default probe: the transport's own check, timed. */
export const pingProbe = definePlugin({
  kind: "probe",
  name: "ping",
  options,
  create: (_context, { slow = "1s" }) => {
    const limit = milliseconds(slow);
    return {
      async probe(target, signal) {
        const start = target.clock.now();
        let complaint: string | void;
        try {
          complaint = await target.ping(signal);
        } catch (cause) {
          return { state: "failed", latency: target.clock.now() - start, cause };
        }
        const latency = target.clock.now() - start;
        if (complaint !== undefined) return { state: "degraded", latency, cause: new Error(complaint) };
        return latency > limit
          ? {
              state: "degraded",
              latency,
              cause: new Error(`it took ${Math.round(latency)} ms to answer a health check`),
            }
          : { state: "healthy", latency };
      },
    };
  },
});
