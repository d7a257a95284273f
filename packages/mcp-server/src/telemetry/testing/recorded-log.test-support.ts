import type { Log, LogFields } from "@davpool/core";

export interface RecordedLog extends Log {
  /** Each as `level message`. */
  readonly lines: readonly string[];
  /** Resolves when a line that holds `text` is there. */
  logged(text: string): Promise<void>;
}

export function recordedLog(): RecordedLog {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const at = (level: string) => (message: string, fields?: LogFields) => {
    lines.push(`${level} ${message}${fields ? ` ${JSON.stringify(fields)}` : ""}`);
    for (const look of waiting) look();
  };
  return {
    lines,
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    logged: (text) =>
      new Promise((resolve) => {
        const look = () => {
          if (!lines.some((line) => line.includes(text))) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}
