import type { Log } from "@davpool/core";
import { pino, type DestinationStream } from "pino";
import { version } from "@davpool/core";
import { exportingLines, traceFields } from "./telemetry/log-lines.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Fields whose values never go into a line, wherever they stand. */
const SECRET = ["password", "token", "authorization", "secret", "passwordEncrypted"];

/** What JSON leaves as it is although a terminal takes it for a command, or an editor for the end of a line. */
const UNSAFE = /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

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
    exportingLines(harmless(destination ?? pino.destination({ fd: 2, sync: true }))),
  );
  const line =
    (method: "debug" | "info" | "warn" | "error"): Log["info"] =>
    (message, fields) =>
      logger[method](fields ?? {}, message);
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}

/** Strangers' words may stand in a line; they must not act on whoever looks at it. */
function harmless(destination: DestinationStream): DestinationStream {
  const escaped = (sign: string) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return { write: (line) => destination.write(line.replaceAll(UNSAFE, escaped)) };
}
