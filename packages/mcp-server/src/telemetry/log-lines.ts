import { version } from "@davpool/core";
import { SeverityNumber, isSpanContextValid, logs, trace, type Logger, type LoggerProvider } from "@opentelemetry/api";
import type { DestinationStream } from "pino";

/** The span that a log line is written in: a `mixin` for pino. Empty where there is none. */
export function traceFields(): { trace_id?: string; span_id?: string } {
  const span = trace.getActiveSpan()?.spanContext();
  return span && isSpanContextValid(span) ? { trace_id: span.traceId, span_id: span.spanId } : {};
}

const SEVERITIES: Readonly<Record<string, SeverityNumber>> = {
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
};

/**
 * A destination for pino that writes each line to `destination` and, while logs are exported, exports the same. It
 * works from the finished line, so that whatever was censored there is censored here as well.
 */
export function exportingLines(destination: DestinationStream): DestinationStream {
  let provider: LoggerProvider | undefined;
  let logger: Logger | undefined;
  return {
    write(line) {
      destination.write(line);
      if (provider !== logs.getLoggerProvider()) {
        provider = logs.getLoggerProvider();
        logger = provider.getLogger("davpool", version);
      }
      if (logger?.enabled() === true) emit(logger, line);
    },
  };
}

function emit(logger: Logger, line: string): void {
  // The record has places of its own for these.
  const { level, time, msg, name: _name, version: _version, trace_id: _trace, span_id: _span, ...fields } = parse(line);
  logger.emit({
    body: typeof msg === "string" ? msg : line,
    severityText: String(level),
    severityNumber: SEVERITIES[String(level)] ?? SeverityNumber.UNSPECIFIED,
    ...(typeof time === "string" && { timestamp: new Date(time) }),
    attributes: fields,
  });
}

function parse(line: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}
