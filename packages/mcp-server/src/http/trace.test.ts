import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { createWebDavServer } from "@davpool/testkit";
import { expect, test } from "vitest";
import { startCollector } from "../telemetry/testing/collector.test-support.ts";
import type { Message } from "../telemetry/testing/otlp-decoder.test-support.ts";
import { runTelemetry } from "../telemetry/testing/running-telemetry.test-support.ts";
import { messagesOf, startHttpServer } from "../testing/http-server.test-support.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER = "00f067aa0ba902b7";
const OTHER = "b7ad6b7169203331";
const SERVER = 2;
const CLIENT = 3;

const traceparent = (caller: string) => `00-${TRACE}-${caller}-01`;

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Makes a call that fails over, and resolves to the spans that a collector then has. */
async function failOver(options: {
  readonly session: boolean;
  readonly meta?: object;
  readonly headers?: Readonly<Record<string, string>>;
}): Promise<{ readonly spans: readonly Message[]; readonly session: string | undefined; readonly ports: number[] }> {
  await using collector = await startCollector();
  await using live = await createWebDavServer();
  live.tree.write("/a.txt", "text");
  const dead = await closedPort();
  await using telemetry = await runTelemetry({ otlp: { endpoint: collector.url } });
  await using server = await startHttpServer({
    pools: {
      files: {
        transport: "webdav",
        health: { enabled: false },
        servers: [
          { serverId: "dead", url: `http://127.0.0.1:${dead}/` },
          { serverId: "live", url: live.url, priority: 2 },
        ],
      },
    },
  });
  const session = options.session ? await server.initialize() : undefined;
  const current = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const message = {
    jsonrpc: "2.0",
    id: 7,
    method: "tools/call",
    params: {
      name: "dav_request",
      arguments: { method: "GET", path: "/a.txt" },
      _meta: { ...(!options.session && current), ...options.meta },
    },
  };
  const [answer] = await messagesOf(
    await server.post(message, {
      ...(session === undefined
        ? { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "dav_request" }
        : { "mcp-session-id": session, "mcp-protocol-version": "2025-11-25" }),
      ...options.headers,
    }),
  );
  expect(answer).toMatchObject({ result: { structuredContent: { serverId: "live", body: "text" } } });
  await telemetry.flush();
  return { spans: collector.spans(), session, ports: [dead, Number(new URL(live.url).port)] };
}

test.each([
  ["_meta, in a session", { session: true, meta: { traceparent: traceparent(CALLER) } }],
  ["_meta, without a session", { session: false, meta: { traceparent: traceparent(CALLER) } }],
  ["the HTTP header, in a session", { session: true, headers: { traceparent: traceparent(CALLER) } }],
  ["the HTTP header, without a session", { session: false, headers: { traceparent: traceparent(CALLER) } }],
  [
    "_meta rather than the HTTP header",
    { session: true, meta: { traceparent: traceparent(CALLER) }, headers: { traceparent: traceparent(OTHER) } },
  ],
])("a call that fails over is one tree below the caller that is named by %s", async (_where, options) => {
  const { spans, session, ports } = await failOver(options);
  const tree = spans.filter(({ traceId }) => traceId === TRACE);
  const below = (parent: unknown) => tree.filter(({ parentSpanId }) => parentSpanId === parent);

  const [mcp, ...others] = below(CALLER);
  expect(others).toEqual([]);
  expect(mcp).toMatchObject({ name: "tools/call dav_request", kind: SERVER });
  expect(mcp?.attributes).toEqual({
    "mcp.method.name": "tools/call",
    "gen_ai.tool.name": "dav_request",
    "gen_ai.operation.name": "execute_tool",
    "mcp.protocol.version": session === undefined ? "2026-07-28" : "2025-11-25",
    ...(session !== undefined && { "mcp.session.id": session }),
    "jsonrpc.request.id": "7",
    "network.transport": "tcp",
  });
  const linked = "meta" in options && "headers" in options;
  expect((mcp?.links ?? []).map(({ spanId }: Message) => spanId as string)).toEqual(linked ? [OTHER] : []);

  const [call] = below(mcp?.spanId);
  expect(call).toMatchObject({ name: "GET", attributes: { "davpool.pool": "files", "davpool.server": "live" } });
  const attempts = below(call?.spanId);
  expect(attempts.map(({ kind, attributes }) => [kind, attributes["davpool.server"]])).toEqual([
    [CLIENT, "dead"],
    [CLIENT, "live"],
  ]);
  const requests = attempts.flatMap(({ spanId }) => below(spanId));
  const common = { "http.request.method": "GET", "server.address": "127.0.0.1", "url.scheme": "http" };
  expect(requests).toMatchObject([
    { kind: CLIENT, attributes: { ...common, "server.port": ports[0], "error.type": "ECONNREFUSED" } },
    { kind: CLIENT, attributes: { ...common, "server.port": ports[1], "http.response.status_code": 200 } },
  ]);
  // One tree, and nothing in it besides.
  expect(tree).toHaveLength(6);
});
