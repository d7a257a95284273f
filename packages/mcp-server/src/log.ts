import type { Log } from "@davpool/core";
import { pino, type DestinationStream } from "pino";
import { version } from "@davpool/core";
import { exportingLines, traceFields } from "./telemetry/log-lines.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Fields whose values never go into a line, wherever they stand. */
const SECRET = ["password", "token", "authorization", "secret", "passwordEncrypted"];

/**
 * One JSON object a line. Standard output belongs to the protocol, so lines go to standard error.
 * @param destination default: standard error, written at once so that the last lines of a crash are there.
 */
export function createLog(level: LogLevel, destination?: DestinationStream): Log {
  const logger = pino(
    {
      level,
      base: { name: "davpool", version },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      mixin: traceFields,
      redact: { paths: SECRET.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: "[secret]" },
    },
    exportingLines(destination ?? pino.destination({ fd: 2, sync: true })),
  );
  const line =
    (method: "debug" | "info" | "warn" | "error"): Log["info"] =>
    (message, fields) =>
      logger[method](fields ?? {}, message);
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}
