import type { FaultDefinition } from "./behaviour.ts";
import type { StaleKeepAliveFault } from "./fault.ts";

export const staleKeepAlive: FaultDefinition<StaleKeepAliveFault> = ({ idleMs }) => ({
  stage: "arrival",
  concerns: (exchange) => idleMs !== undefined || exchange.connection.reused,
  async run(exchange, next, off) {
    if (idleMs === undefined) {
      exchange.destroy();
      return;
    }
    await next();
    exchange.connection.expireAfter(idleMs, off);
  },
});
