import type { FaultDefinition } from "./behaviour.ts";
import type { BlackholeFault } from "./fault.ts";

export const blackhole: FaultDefinition<BlackholeFault> = ({ applied = false }) => ({
  stage: "answer",
  async run(exchange, _next, off) {
    await exchange.readBody();
    if (applied) await exchange.apply();
    await exchange.pause(Infinity, off);
    exchange.destroy();
  },
});
