import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { createMcpServer, type McpHttpServer } from "@davpool/testkit";
import { McpServerPool, optionsFromEnvironment, type McpServerInput } from "@davpool/transport-mcp/server-pool";
import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { development } from "./development.ts";
import { highAvailability } from "./high-availability.ts";
import { production } from "./production.ts";
import { follow } from "./service-discovery.ts";

interface Servers extends AsyncDisposable {
  readonly all: readonly McpHttpServer[];
  readonly inputs: readonly McpServerInput[];
  url(name: string): string;
  named(name: string): McpHttpServer;
}

async function start(...names: readonly string[]): Promise<Servers> {
  const all = await Promise.all(names.map((name) => createMcpServer({ transport: "http", name, era: "legacy" })));
  const named = (name: string) => all.find((server) => server.name === name) as McpHttpServer;
  return {
    all,
    inputs: all.map(({ name, url }) => ({ serverId: name, url })),
    url: (name) => named(name).url,
    named,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(all.map((server) => server[Symbol.asyncDispose]()));
    },
  };
}

/** The name of the server that answers. */
async function answers(pool: McpServerPool): Promise<string> {
  const { content } = await pool.callTool("read");
  const [first = {}] = content as readonly object[];
  return "text" in first ? String(first.text).split(" ", 1).join() : "";
}

test("development: a failure is seen at once, and no other server hides it", async () => {
  await using servers = await start("one", "two");
  // Checked more often than that, so that the test need not wait for it.
  await using pool = await McpServerPool.open({ ...development(servers.inputs), healthCheckInterval: 20 });
  await pool.listTools();
  expect([await answers(pool), await answers(pool)].toSorted()).toEqual(["one", "two"]);
  const offline = new Promise<string>((resolve) => pool.on("server-offline", resolve));
  await servers.named("one").stop();
  const ends = await Promise.allSettled([answers(pool), answers(pool)]);
  expect(ends.filter(({ status }) => status === "rejected")).toMatchObject([
    { reason: { code: "NO_SERVER_AVAILABLE", message: expect.stringContaining("one: ") as string } },
  ]);
  expect(await offline).toBe("one");
  expect(pool.getServers()[0]).toMatchObject({ id: "one", status: "offline", circuit: { state: "open" } });
});

test("production: calls do not notice that the primary dies, and go on to the secondary", async () => {
  await using servers = await start("backup", "primary", "secondary");
  await using pool = await McpServerPool.open(production(servers.inputs));
  await pool.listTools();
  const hang = servers.named("primary").inject({ kind: "hang", on: "call" });
  const calls = Array.from({ length: 60 }, () => answers(pool));
  await servers.named("primary").log.received("read", 20);
  const before = servers.named("backup").calls.length;
  await servers.named("primary").stop();
  expect(new Set(await Promise.all(calls))).toEqual(new Set(["backup", "secondary"]));
  // Whatever the primary had begun.
  expect([before, servers.named("backup").calls.length, servers.named("secondary").calls.length]).toEqual([20, 20, 40]);
  expect(pool.getStats().requests).toMatchObject({ failed: 0, failoverCount: 20 });
  hang.off();
});

test("high availability: the nearest region that is there takes the calls", async () => {
  const regions = ["us-west-1", "us-west-2", "us-east-1", "eu-west-1"] as const;
  await using servers = await start(...regions);
  const [first, second, third, fourth] = regions.map((region) => servers.url(region)) as [
    string,
    string,
    string,
    string,
  ];
  const addresses = { "us-west-1": first, "us-west-2": second, "us-east-1": third, "eu-west-1": fourth };
  await using pool = await McpServerPool.open(highAvailability(addresses));
  await pool.listTools();
  for (const region of regions) {
    expect(await answers(pool)).toBe(region);
    expect(await answers(pool)).toBe(region);
    await servers.named(region).stop();
  }
  expect(pool.getStats().requests.failed).toBe(0);
});

test("service discovery: the pool follows, and keeps the connections of servers that stay", async () => {
  await using servers = await start("one", "two", "three");
  const [one, two, three] = servers.inputs as [McpServerInput, McpServerInput, McpServerInput];
  await using pool = await McpServerPool.open({ servers: [one, two] });
  await pool.listTools();
  expect(servers.named("two").sessionsBegun).toBe(1);
  await follow(pool, [two, three]);
  await pool.listTools();
  expect(pool.getServers().map(({ id }) => id)).toEqual(["two", "three"]);
  expect(new Set([await answers(pool), await answers(pool)])).toEqual(new Set(["two", "three"]));
  expect(servers.named("two").sessionsBegun).toBe(1);
});

test("service discovery: a new address counts, and one bad entry does not stop the others", async () => {
  await using servers = await start("one", "two", "three");
  const [one, two, three] = servers.inputs as [McpServerInput, McpServerInput, McpServerInput];
  await using pool = await McpServerPool.open();
  await follow(pool, [one, two]);
  const moved = { ...one, url: servers.url("three") };
  const bad = { serverId: "bad", url: "ftp://example.com/" };
  await expect(follow(pool, [bad, moved, two])).rejects.toThrow(AggregateError);
  await pool.listTools();
  expect(
    pool
      .getServers()
      .map(({ id }) => id)
      .toSorted(),
  ).toEqual(["one", "two"]);
  expect(new Set([await answers(pool), await answers(pool)])).toEqual(new Set(["three", "two"]));
  await expect(follow(pool, [{ ...moved, url: bad.url }, two, { ...three, serverId: "new" }])).rejects.toThrow(
    "cannot be used",
  );
  expect(
    pool
      .getServers()
      .map(({ id }) => id)
      .toSorted(),
  ).toEqual(["new", "one", "two"]);
});

test("Kubernetes: the manifest holds what a pool understands", () => {
  const file = new URL("kubernetes.yaml", import.meta.url);
  const manifests = parseAllDocuments(readFileSync(file, "utf8")).map((document) => document.toJS() as Manifest);
  const env = manifests.flatMap(
    ({ spec }) => spec.template?.spec.containers.flatMap((container) => container.env) ?? [],
  );
  const options = optionsFromEnvironment(Object.fromEntries(env.map(({ name, value }) => [name, value])));
  expect(options).toEqual({
    strategy: "least-connections",
    servers: [1, 2, 3].map((n) => ({ serverId: `mcp-server-${n}`, url: `http://mcp-server-${n}:8080/mcp` })),
  });
});

interface Manifest {
  readonly spec: {
    readonly template?: {
      readonly spec: {
        readonly containers: readonly { readonly env: readonly { readonly name: string; readonly value: string }[] }[];
      };
    };
  };
}

describe("Prometheus", () => {
  // The SDK that the MCP server brings; a program has its own.
  const sdk = createRequire(createRequire(import.meta.url).resolve("@davpool/mcp-server"));
  const { metrics } = sdk("@opentelemetry/api") as {
    metrics: { setGlobalMeterProvider(provider: object): void; disable(): void };
  };
  const { MeterProvider } = sdk("@opentelemetry/sdk-metrics") as { MeterProvider: new (options: object) => object };
  const { PrometheusExporter } = sdk("@opentelemetry/exporter-prometheus") as {
    PrometheusExporter: new (options: object) => {
      getMetricsRequestHandler(request: IncomingMessage, response: ServerResponse): void;
    };
  };

  test("finds mcp_requests_total and mcp_response_time, server by server", async () => {
    const exporter = new PrometheusExporter({ preventServerStart: true });
    metrics.setGlobalMeterProvider(new MeterProvider({ readers: [exporter] }));
    const page = createServer((request, response) => exporter.getMetricsRequestHandler(request, response));
    page.listen(0, "127.0.0.1");
    await once(page, "listening");
    try {
      await using servers = await start("one", "two");
      await using pool = await McpServerPool.open({ servers: servers.inputs, healthCheckInterval: 0 });
      await pool.listTools();
      for (let call = 0; call < 4; call++) await answers(pool);
      const { port } = page.address() as AddressInfo;
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      const count = (name: string, server: string, operation: string) =>
        text
          .split("\n")
          .filter((line) => line.startsWith(`${name}{`))
          .find(
            (line) => line.includes(`davpool_server="${server}"`) && line.includes(`davpool_operation="${operation}"`),
          )
          ?.split("} ")
          .at(-1);
      for (const server of ["one", "two"]) {
        expect(count("mcp_requests_total", server, "tools/call")).toBe("2");
        expect(count("mcp_requests_total", server, "tools/list")).toBe("1");
        expect(count("mcp_response_time_count", server, "tools/call")).toBe("2");
        expect(Number(count("mcp_response_time_sum", server, "tools/call"))).toBeGreaterThan(0);
      }
      expect(text).toMatch(/^# TYPE mcp_requests_total counter$/m);
      expect(text).toMatch(/^# TYPE mcp_response_time histogram$/m);
      expect(text).toMatch(/^mcp_requests_total\{davpool_pool="mcp",.*davpool_outcome="ok"/m);
    } finally {
      metrics.disable();
      page.close();
      page.closeAllConnections();
    }
  });
});
