import type { FaultDefinition } from "./behaviour.ts";
import type { StatusFault } from "./fault.ts";

export const status: FaultDefinition<StatusFault> = ({ status: code, headers = {}, body = "", applied = false }) => ({
  stage: "answer",
  async run(exchange, next) {
    if (applied) await exchange.apply();
    exchange.answerInstead({
      status: code,
      headers,
      body: typeof body === "string" ? new TextEncoder().encode(body) : body,
    });
    await next();
  },
});
