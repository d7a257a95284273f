import { hostname } from "node:os";
import { version, type Log } from "@davpool/core";
import { context, diag, logs, metrics, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { PrometheusExporter } from "@opentelemetry/exporter-prometheus";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
  type Resource,
} from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader, type IMetricReader } from "@opentelemetry/sdk-metrics";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type Sampler,
} from "@opentelemetry/sdk-trace";
import { ExportReports } from "./export-reports.ts";
import { observeHttpClient } from "./http-client.ts";
import { serveMetrics } from "./metrics-server.ts";
import type { Sampling } from "./sampling.ts";
import type { Signal, TelemetrySettings } from "./settings.ts";
import type { MetricsHandler, Telemetry } from "./start-telemetry.ts";

interface Provider {
  forceFlush(): Promise<void>;
  shutdown(): Promise<void>;
}

/** The part of telemetry that loads the SDK; nothing imports it unless telemetry is on. */
export async function startSdk(
  settings: TelemetrySettings,
  headers: Readonly<Record<string, string>>,
  log: Log,
): Promise<Telemetry> {
  const reports = new ExportReports(log, Object.values(headers));
  reports.take();
  const resource = resourceOf(settings);
  const target = (signal: Signal) => ({
    ...(settings.endpoint !== undefined && { url: `${settings.endpoint.replace(/\/+$/, "")}/v1/${signal}` }),
    headers: { ...headers },
  });

  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(
    new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
  );
  const providers: Provider[] = [];
  if (settings.otlp.has("traces")) {
    const exporter = reports.watch("traces", new OTLPTraceExporter(target("traces")));
    const provider = new TracerProvider({
      resource,
      sampler: samplerOf(settings.sampling),
      spanProcessors: [new BatchSpanProcessor({ exporter })],
    });
    trace.setGlobalTracerProvider(provider);
    providers.push(provider);
  }
  if (settings.otlp.has("logs")) {
    const exporter = reports.watch("logs", new OTLPLogExporter(target("logs")));
    const provider = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter })] });
    logs.setGlobalLoggerProvider(provider);
    providers.push(provider);
  }
  const readers: IMetricReader[] = [];
  if (settings.otlp.has("metrics")) {
    const exporter = reports.watch("metrics", new OTLPMetricExporter(target("metrics")));
    readers.push(new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: settings.exportInterval }));
  }
  const prometheus = settings.prometheus && new PrometheusExporter({ preventServerStart: true });
  if (prometheus) readers.push(prometheus);
  if (readers.length > 0) {
    const provider = new MeterProvider({ resource, readers });
    metrics.setGlobalMeterProvider(provider);
    providers.push(provider);
  }
  const measures = readers.length > 0 || settings.otlp.has("traces");
  const stopHttpClient = measures ? observeHttpClient({ propagate: settings.propagate }) : undefined;
  const metricsHandler = prometheus && handlerOf(prometheus);
  const server =
    metricsHandler && typeof settings.prometheus === "object"
      ? await serveMetrics(settings.prometheus, metricsHandler, log)
      : undefined;

  let ended: Promise<void> | undefined;
  return {
    metricsHandler,
    metricsAddress: server?.address,
    shutdown: (limitMs) => (ended ??= end(limitMs)),
  };

  async function end(limitMs: number): Promise<void> {
    stopHttpClient?.();
    await within(limitMs, Promise.allSettled([server?.close(), ...providers.map((provider) => provider.shutdown())]));
    // Whoever measures from here on gets what does nothing.
    for (const api of [trace, metrics, logs, propagation, context, diag]) api.disable();
    reports.release();
  }
}

function resourceOf({ serviceName }: TelemetrySettings): Resource {
  const ours = resourceFromAttributes({
    "service.name": "davpool",
    "service.version": version,
    "host.name": hostname(),
    "process.pid": process.pid,
  });
  // Not the SDK's detector of processes: it tells the command line, and secrets may stand there.
  const detected = detectResources({ detectors: [serviceInstanceIdDetector, envDetector] });
  const merged = defaultResource().merge(ours).merge(detected);
  return serviceName === undefined ? merged : merged.merge(resourceFromAttributes({ "service.name": serviceName }));
}

function samplerOf({ ratio, parentBased }: Sampling): Sampler {
  const root =
    ratio === 1 ? new AlwaysOnSampler() : ratio === 0 ? new AlwaysOffSampler() : new TraceIdRatioBasedSampler(ratio);
  return parentBased ? new ParentBasedSampler({ root }) : root;
}

function handlerOf(prometheus: PrometheusExporter): MetricsHandler {
  return (request, response) => {
    prometheus.getMetricsRequestHandler(request, response);
    // The exporter leaves the version out, and newer Prometheus wants to know it.
    response.setHeader("content-type", "text/plain; version=0.0.4; charset=utf-8");
  };
}

async function within(limitMs: number, work: Promise<unknown>): Promise<void> {
  const limit = Promise.withResolvers<void>();
  const timer = setTimeout(limit.resolve, limitMs);
  await Promise.race([work, limit.promise]);
  clearTimeout(timer);
}
