import { announce, sendWhole, write } from "../sending.ts";
import type { FaultDefinition } from "./behaviour.ts";
import type { TruncateFault } from "./fault.ts";

export const truncate: FaultDefinition<TruncateFault> = ({ afterBytes, chunked = false }) => ({
  stage: "sending",
  async run(exchange, next) {
    exchange.send = async (answer, response) => {
      if (answer.body === undefined || answer.body.length <= afterBytes) {
        await sendWhole(answer, response);
        return;
      }
      announce(answer, response, { chunked });
      await write(response, answer.body.subarray(0, afterBytes));
      exchange.destroy();
    };
    await next();
  },
});
