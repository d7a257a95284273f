import type { FaultDefinition } from "./behaviour.ts";
import type { DelayFault } from "./fault.ts";

export const delay: FaultDefinition<DelayFault> = ({ ms, applied = false }) => ({
  stage: "processing",
  async run(exchange, next, off) {
    await exchange.readBody();
    if (applied) await exchange.apply();
    await exchange.pause(ms, off);
    await next();
  },
});
