import type { IncomingMessage, ServerResponse } from "node:http";
import { resolveSecret, type Log } from "@davpool/core";
import type { Environment } from "../environment.ts";
import type { MetricsAddress, TelemetrySettings } from "./settings.ts";

/** Answers a request for metrics, as `node:http` hands it over. Any path and method is an ask for them. */
export type MetricsHandler = (request: IncomingMessage, response: ServerResponse) => void;

/** What runs while telemetry is on. */
export interface Telemetry {
  /** Present with Prometheus: to be mounted where only those may reach it who may see metrics. */
  readonly metricsHandler: MetricsHandler | undefined;
  /** Where metrics are served on a port of their own. */
  readonly metricsAddress: MetricsAddress | undefined;
  /**
   * Sends what has not been sent yet, and ends. It takes `limitMs` milliseconds at most, whatever the collector does,
   * and never throws. The second time it does nothing.
   */
  shutdown(limitMs: number): Promise<void>;
}

export interface TelemetryParts {
  readonly log: Log;
  /** For secrets in files: the configuration's folder. */
  readonly baseDirectory: string;
  /** For secrets. Whatever else the SDK reads it reads from `process.env`. Default: `process.env`. */
  readonly environment?: Environment;
  readonly signal?: AbortSignal;
}

const OFF: Telemetry = { metricsHandler: undefined, metricsAddress: undefined, shutdown: () => Promise.resolve() };

/**
 * Starts telemetry, before any pool is opened: metrics made earlier are recorded nowhere. Without settings nothing of
 * the SDK is loaded, and everything that measures does nothing.
 * @throws SecretError when a header for the collector is nowhere to be found.
 */
export async function startTelemetry(
  settings: TelemetrySettings | undefined,
  parts: TelemetryParts,
): Promise<Telemetry> {
  if (!settings) return OFF;
  const { log, baseDirectory, environment = process.env, signal } = parts;
  for (const warning of settings.warnings) log.warn(warning);
  const headers: Record<string, string> = {};
  for (const [name, secret] of Object.entries(settings.headers))
    headers[name] = await resolveSecret(secret, { baseDirectory, environment }, signal);
  const { startSdk } = await import("./sdk.ts");
  return startSdk(settings, headers, log);
}
