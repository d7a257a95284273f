import { validator, type ConfigIssue } from "@davpool/core";
import { Type } from "typebox";
import { describe, expect, test } from "vitest";
import { telemetrySections, type TelemetrySection } from "./section.ts";
import { telemetrySettings } from "./settings.ts";

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };

describe("telemetry is on", () => {
  test.each<[string, TelemetrySection | undefined, Record<string, string>, string[] | undefined]>([
    ["with nothing set: no", undefined, {}, undefined],
    ["with a section that says nothing of it: no", { serviceName: "x", sampling: 1 }, {}, undefined],
    ["with enabled", { enabled: true }, {}, ["traces", "metrics", "logs"]],
    ["with a collector in the file", { otlp: {} }, {}, ["traces", "metrics", "logs"]],
    ["with one signal in the file", { traces: true }, {}, ["traces"]],
    ["with a collector in the environment", undefined, ENDPOINT, ["traces", "metrics", "logs"]],
    ["with a collector for one signal", {}, { OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: "http://c/v1/logs" }, ["logs"]],
    ["with an exporter in the environment", {}, { OTEL_TRACES_EXPORTER: "otlp" }, ["traces"]],
    ["with an exporter that is none: no", {}, { OTEL_TRACES_EXPORTER: "none" }, undefined],
    [
      "without the signals whose exporter is none",
      {},
      { ...ENDPOINT, OTEL_LOGS_EXPORTER: "none" },
      ["traces", "metrics"],
    ],
    [
      "with the file before the environment",
      { logs: true },
      { ...ENDPOINT, OTEL_LOGS_EXPORTER: "none" },
      ["traces", "metrics", "logs"],
    ],
    ["unless the file says no", { enabled: false }, ENDPOINT, undefined],
    ["unless the SDK is disabled", { enabled: true }, { ...ENDPOINT, OTEL_SDK_DISABLED: "True" }, undefined],
    ["with an empty variable: no", undefined, { OTEL_EXPORTER_OTLP_ENDPOINT: "" }, undefined],
  ])("%s", (_, section, environment, signals) => {
    const settings = telemetrySettings(section, environment);
    expect(settings && [...settings.otlp]).toEqual(signals);
    expect(settings?.warnings ?? []).toEqual([]);
  });
});

describe("Prometheus", () => {
  test.each<[string, TelemetrySection, Record<string, string>, unknown]>([
    ["is off by default", { enabled: true }, {}, undefined],
    ["is mounted", { prometheus: true }, {}, "mounted"],
    ["has a port of its own", { prometheus: {} }, {}, { host: "127.0.0.1", port: 9464 }],
    ["has the port it is given", { prometheus: { host: "0.0.0.0", port: 9 } }, {}, { host: "0.0.0.0", port: 9 }],
    [
      "comes from the environment",
      {},
      { OTEL_METRICS_EXPORTER: "prometheus", OTEL_EXPORTER_PROMETHEUS_PORT: "9999" },
      { host: "127.0.0.1", port: 9999 },
    ],
    [
      "has the file before the environment",
      { enabled: true, prometheus: false },
      { OTEL_METRICS_EXPORTER: "prometheus" },
      undefined,
    ],
  ])("%s", (_, section, environment, expected) => {
    expect(telemetrySettings(section, environment)?.prometheus).toEqual(expected);
  });

  test("alone sends nothing to a collector", () => {
    expect([...(telemetrySettings({ enabled: true, prometheus: true }, {})?.otlp ?? ["none"])]).toEqual([]);
    const both = telemetrySettings({}, { OTEL_METRICS_EXPORTER: "otlp, prometheus" });
    expect([...(both?.otlp ?? [])]).toEqual(["metrics"]);
    expect(both?.prometheus).toBeDefined();
  });
});

describe("sampling", () => {
  test.each<[number | undefined, string | undefined, string | undefined, object]>([
    [undefined, undefined, undefined, { ratio: 1, parentBased: true }],
    [0.25, "always_off", undefined, { ratio: 0.25, parentBased: true }],
    [undefined, "always_off", undefined, { ratio: 0, parentBased: false }],
    [undefined, "traceidratio", "0.5", { ratio: 0.5, parentBased: false }],
    [undefined, "parentbased_traceidratio", "0.5", { ratio: 0.5, parentBased: true }],
    [undefined, "parentbased_traceidratio", undefined, { ratio: 1, parentBased: true }],
  ])("is %j in the file, %s with %s in the environment", (sampling, sampler, argument, expected) => {
    const environment = {
      ...(sampler !== undefined && { OTEL_TRACES_SAMPLER: sampler }),
      ...(argument !== undefined && { OTEL_TRACES_SAMPLER_ARG: argument }),
    };
    const section = { enabled: true, ...(sampling !== undefined && { sampling }) };
    expect(telemetrySettings(section, environment)?.sampling).toEqual(expected);
  });
});

test("metrics go out every minute, or as the file, or else the environment, says", () => {
  const environment = { OTEL_METRIC_EXPORT_INTERVAL: "5000" };
  expect(telemetrySettings({ enabled: true }, {})?.exportInterval).toBe(60_000);
  expect(telemetrySettings({ enabled: true }, environment)?.exportInterval).toBe(5_000);
  expect(telemetrySettings({ enabled: true, exportInterval: "10s" }, environment)?.exportInterval).toBe(10_000);
});

test("what the environment asks for and does not get is told, with what to write instead", () => {
  const settings = telemetrySettings(
    { enabled: true },
    {
      OTEL_TRACES_EXPORTER: "console",
      OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
      OTEL_TRACES_SAMPLER: "xray",
      OTEL_METRIC_EXPORT_INTERVAL: "often",
    },
  );
  expect(settings?.warnings).toEqual([
    'OTEL_TRACES_EXPORTER names "console", which is left out; known: otlp, none.',
    'OTEL_EXPORTER_OTLP_PROTOCOL is "grpc", but davpool speaks http/protobuf only and uses that; collectors take it on port 4318.',
    'OTEL_TRACES_SAMPLER names "xray", so every trace is kept; known: always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio.',
    'OTEL_METRIC_EXPORT_INTERVAL must be a whole number from 1 to 2147483647; got "often", which is left out.',
  ]);
  const ratio = telemetrySettings(
    { enabled: true },
    { OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "2" },
  );
  expect(ratio?.warnings).toEqual([
    'OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1; got "2", so every trace is kept.',
  ]);
});

describe("the section of the file", () => {
  const check = (telemetry: unknown): ConfigIssue[] =>
    validator(Type.Object(telemetrySections, { additionalProperties: false }))({ telemetry });

  test("takes everything that it names", () => {
    expect(
      check({
        enabled: true,
        serviceName: "davpool",
        otlp: {
          endpoint: "https://collector.example.com:4318",
          headers: { authorization: { env: "COLLECTOR" }, "x-key": "literal" },
          protocol: "http/protobuf",
        },
        traces: true,
        metrics: true,
        logs: false,
        sampling: 0.1,
        exportInterval: "30s",
        propagate: false,
        prometheus: { host: "127.0.0.1", port: 9464 },
      }),
    ).toEqual([]);
    expect(check({ prometheus: true })).toEqual([]);
  });

  test.each<[unknown, string]>([
    [{ sampling: 2 }, "telemetry.sampling: must be <= 1; got 2."],
    [
      { otlp: { endpoint: "collector:4318" } },
      'telemetry.otlp.endpoint: must be the address of a collector, such as "http://127.0.0.1:4318"; got "collector:4318".',
    ],
    [{ otlp: { protocol: "grpc" } }, 'telemetry.otlp.protocol: must be one of "http/protobuf"; got "grpc".'],
    [{ prometheus: "yes" }, 'telemetry.prometheus: must be true, false or { host, port }; got "yes".'],
    [{ samplng: 1 }, "telemetry.samplng: unknown key; known here: "],
    [{ otlp: { headers: { "bad name": "x" } } }, 'telemetry.otlp.headers["bad name"]: must be named by'],
  ])("says what is wrong with %j", (telemetry, expected) => {
    const found = check(telemetry).map(({ path, message }) => `${path}: ${message}`);
    expect(found.join("\n")).toContain(expected);
  });
});
