import { announce, finish, write } from "../sending.ts";
import type { FaultDefinition } from "./behaviour.ts";
import type { TruncateFault } from "./fault.ts";

export const truncate: FaultDefinition<TruncateFault> = ({ afterBytes, chunked = false, untilClose = false }) => ({
  stage: "sending",
  async run(exchange, next) {
    exchange.send = async (answer, response) => {
      const framing = untilClose ? "close" : chunked ? "chunked" : "length";
      if (answer.body === undefined || answer.body.length <= afterBytes) {
        announce(answer, response);
        await finish(response, answer.body);
        return;
      }
      announce(answer, response, framing);
      await write(response, answer.body.subarray(0, afterBytes));
      exchange.destroy();
    };
    await next();
  },
});
