import { milliseconds, type Secret } from "@davpool/core";
import type { Environment } from "../environment.ts";
import { samplingOf, type Sampling } from "./sampling.ts";
import type { TelemetrySection } from "./section.ts";

export const SIGNALS = ["traces", "metrics", "logs"] as const;
export type Signal = (typeof SIGNALS)[number];

/** Where a server of metrics listens. */
export interface MetricsAddress {
  readonly host: string;
  readonly port: number;
}

/** What telemetry does, once the file and the environment have been heard. */
export interface TelemetrySettings {
  /** undefined: the SDK takes it from the environment, else it is `davpool`. */
  readonly serviceName: string | undefined;
  /** The signals that go to a collector. */
  readonly otlp: ReadonlySet<Signal>;
  /** undefined: the SDK takes it from the environment. Without the signal's path. */
  readonly endpoint: string | undefined;
  /** Beside those of `OTEL_EXPORTER_OTLP_HEADERS`, and before them. */
  readonly headers: Readonly<Record<string, Secret>>;
  readonly sampling: Sampling;
  /** Milliseconds. */
  readonly exportInterval: number;
  readonly propagate: boolean;
  /** `mounted`: a handler for somebody else's server. */
  readonly prometheus: MetricsAddress | "mounted" | undefined;
  /** What the environment asks for and does not get, each in a sentence. */
  readonly warnings: readonly string[];
}

/**
 * Reads the configuration's section and, below it, the standard `OTEL_*` variables.
 * @returns undefined when telemetry is off.
 */
export function telemetrySettings(
  section: TelemetrySection | undefined,
  environment: Environment = process.env,
): TelemetrySettings | undefined {
  const written = section ?? {};
  const variable = (name: string) => environment[name]?.trim() || undefined;
  if (written.enabled === false || variable("OTEL_SDK_DISABLED")?.toLowerCase() === "true") return undefined;

  const warnings: string[] = [];
  const asked = new Map(SIGNALS.map((signal) => [signal, exportersOf(signal, variable, warnings)]));
  const otlp = new Set(
    SIGNALS.filter((signal) => written[signal] ?? asked.get(signal)?.includes("otlp") ?? collector(signal)),
  );
  const prometheus = prometheusOf(written.prometheus, asked.get("metrics"), variable, warnings);
  if (otlp.size === 0 && prometheus === undefined) return undefined;

  for (const name of ["OTEL_EXPORTER_OTLP_PROTOCOL", ...SIGNALS.map((signal) => otlpVariable(signal, "PROTOCOL"))]) {
    const protocol = variable(name);
    if (protocol !== undefined && protocol !== "http/protobuf" && written.otlp?.protocol === undefined)
      warnings.push(
        `${name} is "${protocol}", but davpool speaks http/protobuf only and uses that; collectors take it on port 4318.`,
      );
  }
  return {
    serviceName: written.serviceName,
    otlp,
    endpoint: written.otlp?.endpoint,
    headers: written.otlp?.headers ?? {},
    sampling: samplingOf(written.sampling, variable, warnings),
    exportInterval: intervalOf(written, variable, warnings),
    propagate: written.propagate ?? false,
    prometheus,
    warnings,
  };

  /** Somebody named a collector, or asked for telemetry and nothing else. */
  function collector(signal: Signal): boolean {
    if (written.otlp !== undefined || variable("OTEL_EXPORTER_OTLP_ENDPOINT") !== undefined) return true;
    if (variable(otlpVariable(signal, "ENDPOINT")) !== undefined) return true;
    return written.enabled === true && !offered(written.prometheus);
  }
}

/** Reads a variable; one that is empty is not set. */
export type Variable = (name: string) => string | undefined;

const KNOWN: Readonly<Record<Signal, readonly string[]>> = {
  traces: ["otlp", "none"],
  metrics: ["otlp", "prometheus", "none"],
  logs: ["otlp", "none"],
};

/** What `OTEL_<SIGNAL>_EXPORTER` names; undefined when it is not set or names nothing that is known. */
function exportersOf(signal: Signal, variable: Variable, warnings: string[]): readonly string[] | undefined {
  const name = `OTEL_${signal.toUpperCase()}_EXPORTER`;
  const named = variable(name)
    ?.split(",")
    .map((exporter) => exporter.trim())
    .filter((exporter) => exporter !== "");
  const known = named?.filter((exporter) => KNOWN[signal].includes(exporter));
  for (const exporter of named ?? [])
    if (!KNOWN[signal].includes(exporter))
      warnings.push(`${name} names "${exporter}", which is left out; known: ${KNOWN[signal].join(", ")}.`);
  if (known === undefined || known.length === 0) return undefined;
  return known.includes("none") ? [] : known;
}

function prometheusOf(
  written: TelemetrySection["prometheus"],
  asked: readonly string[] | undefined,
  variable: Variable,
  warnings: string[],
): TelemetrySettings["prometheus"] {
  if (written === false) return undefined;
  if (written === true) return "mounted";
  if (written === undefined && asked?.includes("prometheus") !== true) return undefined;
  const port = numberOf("OTEL_EXPORTER_PROMETHEUS_PORT", variable, warnings, 0, 65_535);
  return {
    host: written?.host ?? variable("OTEL_EXPORTER_PROMETHEUS_HOST") ?? "127.0.0.1",
    port: written?.port ?? port ?? 9464,
  };
}

function offered(prometheus: TelemetrySection["prometheus"]): boolean {
  return prometheus !== undefined && prometheus !== false;
}

function intervalOf(written: TelemetrySection, variable: Variable, warnings: string[]): number {
  const file = written.exportInterval === undefined ? undefined : milliseconds(written.exportInterval);
  // Zero would never rest; the SDK refuses it.
  if (file !== undefined) return Math.max(1, file);
  return numberOf("OTEL_METRIC_EXPORT_INTERVAL", variable, warnings, 1, 2_147_483_647) ?? 60_000;
}

function numberOf(
  name: string,
  variable: Variable,
  warnings: string[],
  least: number,
  most: number,
): number | undefined {
  const value = variable(name);
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value) && Number(value) >= least && Number(value) <= most) return Number(value);
  warnings.push(`${name} must be a whole number from ${least} to ${most}; got "${value}", which is left out.`);
  return undefined;
}

function otlpVariable(signal: Signal, what: string): string {
  return `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_${what}`;
}
