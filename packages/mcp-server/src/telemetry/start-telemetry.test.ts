import { execFile } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { promisify } from "node:util";
import { context, logs, metrics, propagation, trace } from "@opentelemetry/api";
import { createWebDavServer } from "@davpool/testkit";
import { afterEach, describe, expect, test, vi } from "vitest";
import { observeRequest } from "./observe-request.ts";
import { startCollector } from "./testing/collector.test-support.ts";
import { openPool } from "./testing/open-pool.test-support.ts";
import { runTelemetry } from "./testing/running-telemetry.test-support.ts";

afterEach(() => vi.unstubAllEnvs());

const call = { method: "tools/call", toolName: "dav_request", requestId: 7, transport: "tcp" } as const;

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

describe("a trace", () => {
  test("of a call that fails over has the MCP call, the pool's, its attempts and their HTTP requests in one tree", async () => {
    await using collector = await startCollector();
    await using server = await createWebDavServer({ auth: { username: "alice", password: "planted-password" } });
    const dead = await closedPort();
    await using telemetry = await runTelemetry({ otlp: { endpoint: collector.url }, serviceName: "team-files" });
    const account = { username: "alice", password: "planted-password" };
    await using open = await openPool([
      { serverId: "dead", url: `http://127.0.0.1:${dead}/`, ...account },
      { serverId: "live", url: server.url, ...account },
    ]);
    await observeRequest(
      {
        ...call,
        protocolVersion: "2026-07-28",
        sessionId: "s-1",
        meta: { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
      },
      async () => {
        const { value } = await open.pool.execute({ method: "PROPFIND", path: "/", headers: { depth: "0" } });
        await value.body.read(100_000);
      },
    );
    await telemetry.flush();

    const spans = collector.spans();
    const child = (parent: string, kind: number) =>
      spans.filter(({ parentSpanId, kind: found }) => parentSpanId === parent && found === kind);
    const [mcp] = child("00f067aa0ba902b7", 2);
    expect(mcp).toMatchObject({ traceId: "4bf92f3577b34da6a3ce929d0e0e4736", name: "tools/call dav_request" });
    expect(mcp?.resource).toMatchObject({ "service.name": "team-files" });
    expect(mcp?.attributes).toEqual({
      "mcp.method.name": "tools/call",
      "gen_ai.tool.name": "dav_request",
      "gen_ai.operation.name": "execute_tool",
      "mcp.protocol.version": "2026-07-28",
      "mcp.session.id": "s-1",
      "jsonrpc.request.id": "7",
      "network.transport": "tcp",
    });
    const [poolCall] = child(mcp?.spanId, 1);
    expect(poolCall).toMatchObject({ name: "PROPFIND", attributes: { "davpool.server": "live" } });
    const attempts = child(poolCall?.spanId, 3);
    expect(attempts.map(({ attributes }) => attributes["davpool.server"])).toEqual(["dead", "live"]);
    const [refused, answered] = attempts.map(({ spanId }) => child(spanId, 3)[0]);
    expect(refused).toMatchObject({
      name: "PROPFIND",
      status: { code: 2 },
      attributes: { "server.address": "127.0.0.1", "server.port": dead, "error.type": "ECONNREFUSED" },
    });
    const { hostname, port, href } = new URL(server.url);
    expect(answered).toMatchObject({
      name: "PROPFIND",
      attributes: {
        "http.request.method": "PROPFIND",
        "http.response.status_code": 207,
        "server.address": hostname,
        "server.port": Number(port),
        "url.full": href,
        "url.scheme": "http",
      },
    });
    expect(spans).toHaveLength(6);
    expect(new Set(spans.map(({ traceId }) => traceId as string)).size).toBe(1);
    expect(Buffer.concat(collector.requests.map(({ body }) => body)).toString("latin1")).not.toContain("planted");
  });

  test("reaches the servers only where it is to be propagated, and baggage never does", async () => {
    await using collector = await startCollector();
    await using server = await createWebDavServer();
    const sent = async (propagate: boolean) => {
      await using telemetry = await runTelemetry({ otlp: { endpoint: collector.url }, propagate });
      await using open = await openPool([{ serverId: "s", url: server.url }]);
      const arrived = server.nextRequest({ method: "OPTIONS" });
      const meta = { baggage: "user=alice" };
      await observeRequest({ ...call, meta }, () => open.pool.execute({ method: "OPTIONS", path: "/" }));
      await telemetry.flush();
      return (await arrived).headers;
    };
    expect(await sent(false)).not.toHaveProperty("traceparent");
    const headers = await sent(true);
    expect(headers).toHaveProperty("traceparent");
    expect(headers).not.toHaveProperty("baggage");
  });

  test("is kept or dropped as a whole", async () => {
    await using collector = await startCollector();
    await using telemetry = await runTelemetry({ otlp: { endpoint: collector.url }, metrics: false, sampling: 0 });
    const flags = (sampled: string) => ({
      traceparent: `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-${sampled}`,
    });
    const inner = () => trace.getTracer("test").startActiveSpan("inner", (span) => span.end());
    await observeRequest(call, inner);
    await observeRequest({ ...call, meta: flags("00") }, inner);
    expect(collector.spans()).toEqual([]);
    await observeRequest({ ...call, meta: flags("01") }, inner);
    await telemetry.flush();
    expect(collector.spans().map(({ name }) => name as string)).toEqual(["inner", "tools/call dav_request"]);
  });
});

describe("the environment alone", () => {
  test("switches telemetry on, names the service and gives headers to the collector", async () => {
    await using collector = await startCollector();
    vi.stubEnv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url);
    vi.stubEnv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=from-environment,x-other=kept");
    vi.stubEnv("OTEL_SERVICE_NAME", "named");
    vi.stubEnv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
    await using telemetry = await runTelemetry(
      { otlp: { headers: { "x-key": { env: "COLLECTOR_KEY" } } } },
      { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, COLLECTOR_KEY: "from-file" },
    );
    await observeRequest(call, () => undefined);
    await telemetry.flush();
    expect(collector.spans()[0]?.resource).toMatchObject({
      "service.name": "named",
      "deployment.environment.name": "test",
    });
    expect(collector.metrics().map(({ name }) => name as string)).toContain("mcp.server.operation.duration");
    expect(collector.requests[0]?.headers).toMatchObject({ "x-key": "from-file", "x-other": "kept" });
  });
});

describe("a collector", () => {
  test("that is not there is told of in one sentence, without secrets, and disturbs nothing", async () => {
    vi.stubEnv("OTEL_EXPORTER_OTLP_TIMEOUT", "1");
    const port = await closedPort();
    await using telemetry = await runTelemetry({
      otlp: { endpoint: `http://user:planted-in-url@127.0.0.1:${port}`, headers: { "x-key": "planted-header" } },
    });
    expect(await observeRequest(call, () => "answer")).toBe("answer");
    await telemetry.flush();
    expect(telemetry.log.lines).toHaveLength(1);
    expect(telemetry.log.lines[0]).toMatch(
      /^warn The telemetry collector does not take (traces|metrics) \(\w+.*\): telemetry is dropped until it does, and nothing else is affected\.$/,
    );
    expect(telemetry.log.lines.join("\n")).not.toContain("planted");
  });

  test("that refuses again and again is told of once, and once more when it takes what it is sent", async () => {
    await using collector = await startCollector();
    collector.answer(401);
    await using telemetry = await runTelemetry({
      otlp: { endpoint: collector.url },
      traces: false,
      logs: false,
      exportInterval: 20,
    });
    await observeRequest(call, () => undefined);
    await collector.received(4);
    collector.answer(200);
    await telemetry.log.logged("again");
    // The SDK has a word of its own for exports that take longer than the interval, as any may on a busy machine.
    const lines = telemetry.log.lines.filter((line) => !line.startsWith("warn OpenTelemetry: "));
    expect(lines).toEqual([
      "warn The telemetry collector does not take metrics (it answered 401): telemetry is dropped until it does, and nothing else is affected.",
      "info The telemetry collector takes what it is sent again.",
    ]);
  });

  test("that never answers does not hold up the end", async () => {
    // Only the limit of the shutdown ends an export that waits for longer than this test may take.
    vi.stubEnv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000");
    await using collector = await startCollector();
    collector.answer("never");
    await using telemetry = await runTelemetry({ otlp: { endpoint: collector.url } });
    await observeRequest(call, () => undefined);
    await expect(telemetry.shutdown(50)).resolves.toBeUndefined();
    await expect(telemetry.shutdown(50)).resolves.toBeUndefined();
  });

  test("whose key is nowhere to be found is an error that names the place", async () => {
    await expect(runTelemetry({ otlp: { headers: { "x-key": { env: "NOT_SET" } } } })).rejects.toThrow("NOT_SET");
  });
});

describe("without telemetry", () => {
  const LOADED = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
    const load = (name) => import(new URL(name, ${JSON.stringify(import.meta.url)}));
    const { telemetrySettings } = await load("./settings.ts");
    const { startTelemetry } = await load("./start-telemetry.ts");
    const { observeRequest } = await load("./observe-request.ts");
    const { exportingLines } = await load("./log-lines.ts");
    await load("./section.ts");
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const section = process.env.SECTION && JSON.parse(process.env.SECTION);
    const telemetry = await startTelemetry(telemetrySettings(section), { log, baseDirectory: "." });
    exportingLines({ write() {} }).write("{}");
    const answer = await observeRequest({ method: "ping", requestId: 1, transport: "pipe" }, () => "answer");
    await telemetry.shutdown(1_000);
    const names = loaded.map((url) => url.split("/node_modules/").at(-1)).filter((name) => name.startsWith("@opentelemetry/"));
    console.log(JSON.stringify({ answer, packages: [...new Set(names.map((name) => name.split("/")[1]))] }));
  `;
  const run = async (environment: Record<string, string>) => {
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", LOADED], {
      env: { PATH: process.env.PATH, ...environment },
    });
    return JSON.parse(stdout) as { answer: string; packages: string[] };
  };

  test("nothing of the SDK is loaded, and requests are answered", async () => {
    expect(await run({})).toEqual({ answer: "answer", packages: ["api"] });
    expect(await run({ OTEL_SDK_DISABLED: "true", SECTION: '{"prometheus":true}' })).toEqual({
      answer: "answer",
      packages: ["api"],
    });
    // The same look does see it when it is on.
    expect((await run({ SECTION: '{"prometheus":true}' })).packages).toContain("sdk-metrics");
  });

  test("nothing stays registered once it has ended", async () => {
    const telemetry = await runTelemetry({ prometheus: true });
    await telemetry.flush();
    expect(context.with(context.active().setValue(Symbol("key"), 1), () => context.active())).toBe(context.active());
    expect(propagation.fields()).toEqual([]);
    expect(logs.getLogger("test").enabled()).toBe(false);
    expect(trace.getTracer("test").startSpan("span").isRecording()).toBe(false);
    expect(metrics.getMeter("test")).not.toHaveProperty("_meterSharedState");
  });
});
