import type { Log } from "../contracts/log.ts";

/** A log in which every line says which pool it is about: ids of servers are unique in their pool only. */
export function poolLog(log: Log, pool: string): Log {
  const line =
    (level: keyof Log): Log["info"] =>
    (message, fields) =>
      log[level](message, { pool, ...fields });
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}
