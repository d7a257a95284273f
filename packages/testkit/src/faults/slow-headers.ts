import { headOf, writeRaw } from "../sending.ts";
import type { FaultDefinition } from "./behaviour.ts";
import type { SlowHeadersFault } from "./fault.ts";

export const slowHeaders: FaultDefinition<SlowHeadersFault> = ({
  bytesPerSecond,
  chunkBytes = Math.max(1, Math.floor(bytesPerSecond / 10)),
}) => ({
  stage: "sending",
  async run(exchange, next, off) {
    exchange.send = async (answer, response) => {
      const head = headOf(answer, response);
      for (let sent = 0; sent < head.length; sent += chunkBytes) {
        await writeRaw(response, head.subarray(sent, sent + chunkBytes));
        await exchange.pause((chunkBytes / bytesPerSecond) * 1000, off);
      }
      if (response.req.method !== "HEAD" && answer.body !== undefined) await writeRaw(response, answer.body);
      exchange.destroy();
    };
    await next();
  },
});
