import { announce, finish, write } from "../sending.ts";
import type { FaultDefinition } from "./behaviour.ts";
import type { SlowBodyFault } from "./fault.ts";

export const slowBody: FaultDefinition<SlowBodyFault> = ({
  bytesPerSecond,
  chunkBytes = Math.max(1, Math.floor(bytesPerSecond / 10)),
}) => ({
  stage: "sending",
  async run(exchange, next, off) {
    exchange.send = async (answer, response) => {
      const body = answer.body ?? new Uint8Array();
      announce(answer, response);
      for (let sent = 0; sent < body.length; sent += chunkBytes) {
        await write(response, body.subarray(sent, sent + chunkBytes));
        await exchange.pause((chunkBytes / bytesPerSecond) * 1000, off);
      }
      await finish(response);
    };
    await next();
  },
});
