import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { createWebDavServer } from "@davpool/testkit";
import { expect, test } from "vitest";
import { observeRequest } from "./observe-request.ts";
import { openPool } from "./testing/open-pool.test-support.ts";
import { runTelemetry } from "./testing/running-telemetry.test-support.ts";

test("the handler gives pool and protocol metrics wherever it is mounted", async () => {
  await using server = await createWebDavServer();
  await using telemetry = await runTelemetry({ prometheus: true, serviceName: "team-files" });
  await using open = await openPool([{ serverId: "eu", url: server.url, username: "a", password: "planted" }]);
  await observeRequest({ method: "tools/call", toolName: "dav_request", requestId: 1, transport: "tcp" }, async () => {
    const { value } = await open.pool.execute({ method: "OPTIONS", path: "/" });
    await value.body.read(1_000);
  });
  const host = createServer((incoming, response) => telemetry.metricsHandler?.(incoming, response));
  host.listen(0, "127.0.0.1");
  await once(host, "listening");
  const response = await fetch(`http://127.0.0.1:${(host.address() as AddressInfo).port}/anywhere`);
  const text = await response.text();
  host.close();
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(text).toMatch(/^davpool_requests_total\{.*davpool_operation="OPTIONS".*\} 1$/m);
  expect(text).toMatch(/^mcp_server_operation_duration_bucket\{.*gen_ai_tool_name="dav_request".*le="0.01"\} \d$/m);
  expect(text).toMatch(/^http_client_request_duration_count\{http_request_method="OPTIONS".*\} 1$/m);
  expect(text).toContain('service_name="team-files"');
  expect(text).not.toContain("planted");
  expect(telemetry.metricsAddress).toBeUndefined();
});

function get(
  port: number,
  path: string,
  options: { method?: string; host?: string } = {},
): Promise<number | undefined> {
  const headers = { connection: "close", ...(options.host !== undefined && { host: options.host }) };
  return new Promise((resolve, reject) => {
    request({ port, path, host: "127.0.0.1", method: options.method ?? "GET", headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on("error", reject)
      .end();
  });
}

test("a port of its own serves metrics alone, and to this machine alone", async () => {
  await using telemetry = await runTelemetry({ prometheus: { port: 0 } });
  const { host, port } = telemetry.metricsAddress ?? { host: "", port: 0 };
  expect(host).toBe("127.0.0.1");
  expect(telemetry.log.lines).toEqual([`info Metrics for Prometheus are at http://127.0.0.1:${port}/metrics.`]);
  expect(await get(port, "/metrics?name=x")).toBe(200);
  expect(await get(port, "/metrics", { host: `localhost:${port}` })).toBe(200);
  expect(await get(port, "/metrics", { host: "rebound.example.com" })).toBe(403);
  expect(await get(port, "/")).toBe(404);
  expect(await get(port, "/metrics", { method: "POST" })).toBe(405);
  await telemetry.flush();
  await expect(get(port, "/metrics")).rejects.toThrow("ECONNREFUSED");
});

test("a port that is taken costs the metrics and nothing else", async () => {
  await using first = await runTelemetry({ prometheus: { port: 0 } });
  const port = first.metricsAddress?.port ?? 0;
  const second = await runTelemetry({ prometheus: { port } });
  expect(second.metricsAddress).toBeUndefined();
  expect(second.metricsHandler).toBeDefined();
  expect(second.log.lines.join("\n")).toMatch(
    /^warn Metrics cannot be served at 127\.0\.0\.1:\d+: .*EADDRINUSE.* Set telemetry\.prometheus\.port to a free port/m,
  );
  await second.flush();
});
