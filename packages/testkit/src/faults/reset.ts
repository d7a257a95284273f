import { announce, write } from "../sending.ts";
import type { FaultDefinition } from "./behaviour.ts";
import type { ResetFault } from "./fault.ts";

const STAGE_OF = {
  "before-body": "arrival",
  "mid-request": "arrival",
  "after-request": "answer",
  "mid-body": "sending",
} as const;

export const reset: FaultDefinition<ResetFault> = ({ when, afterBytes = 0, applied = false }) => ({
  stage: STAGE_OF[when],
  async run(exchange, next) {
    if (when === "mid-body") {
      exchange.send = async (answer, response) => {
        announce(answer, response);
        await write(response, (answer.body ?? new Uint8Array()).subarray(0, afterBytes));
        exchange.reset();
      };
      await next();
      return;
    }
    if (when === "mid-request") await exchange.readBody(afterBytes);
    if (when === "after-request") {
      await exchange.readBody();
      if (applied) await exchange.apply();
    }
    exchange.reset();
  },
});
