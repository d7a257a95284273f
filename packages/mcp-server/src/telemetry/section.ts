import { DurationSchema, SecretSchema } from "@davpool/core";
import { Type, type Static, type TProperties } from "typebox";

const closed = { additionalProperties: false } as const;

const otlp = Type.Object(
  {
    endpoint: Type.Optional(
      Type.Unsafe<string>({
        ...Type.String({ pattern: "^https?://\\S+$" }),
        expects: 'the address of a collector, such as "http://127.0.0.1:4318"',
        description:
          "Address of the collector; /v1/traces, /v1/metrics and /v1/logs are added. Default: OTEL_EXPORTER_OTLP_ENDPOINT, else http://localhost:4318.",
      }),
    ),
    headers: Type.Optional(
      Type.Record(Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" }), SecretSchema(), {
        ...closed,
        expectsKeys: "letters, digits and -, as names of HTTP headers are",
        description: "Headers for the collector, such as its key. The values are secrets.",
      }),
    ),
    protocol: Type.Optional(Type.Literal("http/protobuf", { description: "The only one there is." })),
  },
  { ...closed, description: "The collector that traces, metrics and logs go to." },
);

const prometheus = Type.Object(
  {
    host: Type.Optional(
      Type.String({ minLength: 1, description: "Address to listen on. Default: 127.0.0.1, this machine alone." }),
    ),
    port: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 65_535,
        description: "Port to listen on; 0 takes a free one. Default: 9464.",
      }),
    ),
  },
  closed,
);

const byOtlp = (signal: string) =>
  Type.Optional(Type.Boolean({ description: `Send ${signal} to the collector. Default: whether one is configured.` }));

const telemetry = Type.Object(
  {
    enabled: Type.Optional(
      Type.Boolean({
        description:
          "false: nothing at all, whatever the environment says. true: on, with the usual collector if none is named. Default: on as soon as a collector or Prometheus is configured, here or by OTEL_* variables.",
      }),
    ),
    serviceName: Type.Optional(
      Type.String({
        minLength: 1,
        description: "What davpool is called in what it reports. Default: OTEL_SERVICE_NAME, else davpool.",
      }),
    ),
    otlp: Type.Optional(otlp),
    traces: byOtlp("traces"),
    metrics: byOtlp("metrics"),
    logs: byOtlp("log lines"),
    sampling: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description:
          "Share of traces that are kept; a caller who keeps or drops its own trace decides for davpool's part of it. Default: OTEL_TRACES_SAMPLER, else 1.",
      }),
    ),
    exportInterval: Type.Optional(
      DurationSchema({
        description: "Time between two exports of metrics. Default: OTEL_METRIC_EXPORT_INTERVAL, else 60s.",
      }),
    ),
    propagate: Type.Optional(
      Type.Boolean({
        description:
          "Send traceparent to the WebDAV servers as well, where they are the operator's own. Default: false.",
      }),
    ),
    prometheus: Type.Optional(
      Type.Union([Type.Boolean(), prometheus], {
        expects: "true, false or { host, port }",
        description:
          "Metrics for Prometheus. true: at /metrics of `davpool serve --http`, behind its identity. { host, port }: on a port of their own.",
      }),
    ),
  },
  { ...closed, description: "Traces, metrics and logs by OpenTelemetry." },
);

export type TelemetrySection = Static<typeof telemetry>;

declare module "@davpool/core" {
  interface ConfigSections {
    readonly telemetry?: TelemetrySection;
  }
}

/** Top-level keys of the configuration that belong to telemetry. */
export const telemetrySections: TProperties = { telemetry: Type.Optional(telemetry) };
