import type { TelemetrySection } from "../section.ts";
import { telemetrySettings } from "../settings.ts";
import { startTelemetry, type Telemetry } from "../start-telemetry.ts";
import { recordedLog, type RecordedLog } from "./recorded-log.test-support.ts";

export interface RunningTelemetry extends AsyncDisposable, Telemetry {
  readonly log: RecordedLog;
  /** Sends all there is, and ends. */
  flush(): Promise<void>;
}

/** Telemetry by a configuration's section, ended with the test. */
export async function runTelemetry(
  section: TelemetrySection,
  environment: Readonly<Record<string, string>> = {},
): Promise<RunningTelemetry> {
  const log = recordedLog();
  const settings = telemetrySettings(section, environment);
  const telemetry = await startTelemetry(settings, { log, baseDirectory: import.meta.dirname, environment });
  const flush = () => telemetry.shutdown(5_000);
  return { ...telemetry, log, flush, [Symbol.asyncDispose]: flush };
}
