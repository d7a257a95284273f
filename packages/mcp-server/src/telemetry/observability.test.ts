import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createWebDavCluster } from "@davpool/testkit";
import { beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { observeRequest } from "./observe-request.ts";
import { openPool, type OpenPool } from "./testing/open-pool.test-support.ts";
import { runTelemetry, type RunningTelemetry } from "./testing/running-telemetry.test-support.ts";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly summary: string; readonly description: string };
}
interface Panel {
  readonly type: string;
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}
interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly type: string; readonly query: string }[] };
}

const read = (name: string) =>
  readFileSync(new URL(`../../../../examples/observability/${name}`, import.meta.url), "utf8");
const dashboard = JSON.parse(read("grafana-dashboard.json")) as Dashboard;
const rules = (parse(read("alert-rules.yaml")) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
const queries = [
  ...dashboard.panels.flatMap(({ title, targets }) => (targets ?? []).map(({ expr }) => [title, expr] as const)),
  ...dashboard.templating.list.filter(({ type }) => type === "query").map(({ query }) => [query, query] as const),
  ...rules.map(({ alert, expr }) => [alert, expr] as const),
];

/** Names of metrics and of their labels, as Prometheus sees them. */
const exported = { text: "", metrics: new Set<string>(), labels: new Set<string>(["le", "job", "instance"]) };

beforeAll(async () => {
  await using telemetry = await runTelemetry({ prometheus: true });
  exported.text = await eventful(telemetry);
  for (const line of exported.text.split("\n")) {
    const [, metric, labels] = /^([a-z_]+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    if (metric === undefined) continue;
    exported.metrics.add(metric);
    for (const [, label] of (labels ?? "").matchAll(/([a-z_]+)="/g)) exported.labels.add(label ?? "");
  }
});

/** What is exported once everything that can be counted has happened to a pool. */
async function eventful(telemetry: RunningTelemetry): Promise<string> {
  await using cluster = await createWebDavCluster({ servers: 3 });
  const servers = cluster.urls.map((url, index) => ({ serverId: `s${index}`, url, healthCheckInterval: 1 }));
  const health = { failures: 1, successes: 1, recoveryInterval: "10ms", slowStart: 0 };
  await using hedged = await openPool(servers, { health, hedging: { percentile: 0.5, least: 0 } });
  // Enough for the pool to know how long answers take.
  for (let count = 0; count < 40; count++) await ask(hedged);
  const [first, second] = cluster.servers;
  const slow = await first?.inject({ kind: "delay", ms: Infinity, methods: ["OPTIONS"] });
  for (let count = 0; count < 3; count++) await ask(hedged);
  await slow?.off();

  // Here requests find out that a server is down, before a check does, and not with a second request under way.
  const seldom = servers.map((server) => ({ ...server, healthCheckInterval: 3_600 }));
  await using open = await openPool(seldom, { health });
  while (open.pool.list().some((server) => server.health.lastCheck === undefined)) await ask(open);
  const ejected = happened(open, "server-unhealthy");
  const refused = await second?.inject({ kind: "refuse" });
  for (let count = 0; count < 3; count++) await ask(open);
  await ejected;
  const recovered = happened(open, "recovered");
  await refused?.off();
  await recovered;

  const tool = { method: "tools/call", toolName: "dav_request", requestId: 1, transport: "tcp" } as const;
  await observeRequest({ ...tool, protocolVersion: "2026-07-28" }, () => ({ isError: true }));
  // Before the pool closes, and takes its gauges along.
  return await scrape(telemetry);
}

async function ask(open: OpenPool): Promise<void> {
  await open.pool.execute({ method: "OPTIONS", path: "/" }, { consume: ({ body }) => body.text() });
}

function happened(open: OpenPool, event: "recovered" | "server-unhealthy"): Promise<void> {
  return new Promise((resolve) => {
    const listening = open.pool.on(event, () => {
      listening[Symbol.dispose]();
      resolve();
    });
  });
}

async function scrape(telemetry: RunningTelemetry): Promise<string> {
  const host = createServer((request, response) => telemetry.metricsHandler?.(request, response));
  host.listen(0, "127.0.0.1");
  await once(host, "listening");
  const response = await fetch(`http://127.0.0.1:${(host.address() as AddressInfo).port}/`);
  const text = await response.text();
  host.close();
  return text;
}

const NAME = /\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b/g;
const LABEL_LISTS = /\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g;
const FUNCTIONS = new Set(["histogram_quantile", "label_values", "min_over_time"]);

/** The metrics and labels that a query names. */
function named(query: string): { metrics: string[]; labels: string[] } {
  const labels: string[] = [];
  const bare = query
    .replaceAll(/"[^"]*"/g, '""')
    .replace(/^label_values\((\w+), (\w+)\)$/, (_, metric: string, label: string) => {
      labels.push(label);
      return metric;
    })
    .replaceAll(LABEL_LISTS, (_, list: string) => {
      labels.push(...list.split(",").map((label) => label.trim()));
      return "";
    })
    .replaceAll(/\{([^}]*)\}/g, (_, matchers: string) => {
      labels.push(...[...matchers.matchAll(/([a-z_]+)\s*[=!]/g)].map(([, label]) => label ?? ""));
      return "";
    });
  return { metrics: (bare.match(NAME) ?? []).filter((name) => !FUNCTIONS.has(name)), labels };
}

test.each(queries)("%s asks for what is exported", (_, query) => {
  const { metrics, labels } = named(query);
  expect(metrics.length).toBeGreaterThan(0);
  expect(metrics.filter((name) => !exported.metrics.has(name))).toEqual([]);
  expect(labels.filter((name) => !exported.labels.has(name))).toEqual([]);
});

test("times of a pool are counted in buckets that tell milliseconds from seconds", () => {
  const buckets = exported.text.match(/^davpool_\w+_duration_bucket\{.*le="[^"]+"\}/gm) ?? [];
  const bounds = (metric: string) =>
    new Set(buckets.filter((line) => line.startsWith(metric)).map((line) => /le="([^"]+)"/.exec(line)?.[1]));
  for (const metric of ["davpool_request", "davpool_attempt", "davpool_check"])
    expect([...bounds(metric)]).toEqual(expect.arrayContaining(["0.005", "0.1", "1", "10", "+Inf"]));
});

test("every metric of a pool is on the dashboard", () => {
  const shown = new Set(queries.flatMap(([, query]) => named(query).metrics).map(family));
  const ours = [...exported.metrics].filter((name) => name.startsWith("davpool_")).map(family);
  expect([...new Set(ours)].filter((name) => !shown.has(name))).toEqual([]);
});

function family(metric: string): string {
  return metric.replace(/_(?:bucket|sum|count)$/, "");
}

test("the alerts are there, and say what is wrong", () => {
  expect(rules.map(({ alert }) => alert)).toEqual(
    expect.arrayContaining(["DavpoolFewServersHealthy", "DavpoolHighErrorRate"]),
  );
  for (const { annotations } of rules)
    expect(annotations.summary + annotations.description).toContain("$labels.davpool_pool");
});
