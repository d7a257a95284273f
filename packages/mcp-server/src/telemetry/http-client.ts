import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { version } from "@davpool/core";
import { SpanKind, SpanStatusCode, context, metrics, trace, type Attributes, type Span } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";

/** What undici tells of a request, as far as it is needed here. */
interface SentRequest {
  readonly origin: string | URL;
  readonly path: string;
  readonly method: string;
  addHeader(name: string, value: string): void;
}

interface Exchange {
  readonly span: Span | undefined;
  readonly startedAt: number;
  /** For the span and the metric; complete when the exchange ends. */
  readonly attributes: Attributes;
}

/** Seconds, as the HTTP conventions have them. */
const BOUNDARIES = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const SCOPE = "@davpool/mcp-server";
const MOST_SERVERS = 1_000;

/**
 * Makes a span and a measurement of every HTTP request that undici sends, by the HTTP conventions, from the channels
 * on which undici reports. A request gets a span only below one that is recorded, such as an attempt's. The methods of
 * WebDAV keep their names. Query strings are left out: they are where addresses carry signatures.
 * @param options `propagate`: servers get `traceparent`; baggage goes to nobody.
 * @returns ends it.
 */
export function observeHttpClient(options: { readonly propagate: boolean }): () => void {
  const tracer = trace.getTracer(SCOPE, version);
  const duration = metrics.getMeter(SCOPE, version).createHistogram("http.client.request.duration", {
    unit: "s",
    description: "Time of HTTP requests to servers, up to the end of the answer.",
    advice: { explicitBucketBoundaries: BOUNDARIES },
  });
  const propagator = new W3CTraceContextPropagator();
  const exchanges = new WeakMap<object, Exchange>();
  const servers = new Map<string, Attributes>();

  function created(message: unknown): void {
    const { request } = message as { request: SentRequest };
    const origin = String(request.origin);
    const attributes: Attributes = { "http.request.method": request.method, ...server(origin) };
    const parent = context.active();
    let span: Span | undefined;
    if (trace.getSpan(parent)?.isRecording() === true) {
      const [path = ""] = request.path.split("?", 1);
      const own = { ...attributes, "url.full": `${origin}${path}` };
      span = tracer.startSpan(request.method, { kind: SpanKind.CLIENT, attributes: own }, parent);
      if (options.propagate)
        propagator.inject(trace.setSpan(parent, span), request, {
          set: (sent, name, value) => sent.addHeader(name, value),
        });
    }
    exchanges.set(request, { span, startedAt: performance.now(), attributes });
  }

  function answered(message: unknown): void {
    const { request, response } = message as { request: object; response: { statusCode: number } };
    const exchange = exchanges.get(request);
    if (!exchange || response.statusCode < 200) return;
    exchange.attributes["http.response.status_code"] = response.statusCode;
    if (response.statusCode >= 400) exchange.attributes["error.type"] = String(response.statusCode);
  }

  function ended(message: unknown): void {
    const { request, error } = message as { request: object; error?: NodeJS.ErrnoException };
    const exchange = exchanges.get(request);
    if (!exchange) return;
    exchanges.delete(request);
    const { span, startedAt, attributes } = exchange;
    if (error) attributes["error.type"] = error.code ?? error.name;
    duration.record((performance.now() - startedAt) / 1_000, attributes);
    if (!span) return;
    span.setAttributes(attributes);
    if (attributes["error.type"] !== undefined) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  }

  function server(origin: string): Attributes {
    let attributes = servers.get(origin);
    if (!attributes) {
      if (servers.size >= MOST_SERVERS) servers.clear();
      const { hostname, port, protocol } = new URL(origin);
      attributes = {
        "server.address": hostname,
        "server.port": port === "" ? (protocol === "https:" ? 443 : 80) : Number(port),
        "url.scheme": protocol.slice(0, -1),
      };
      servers.set(origin, attributes);
    }
    return attributes;
  }

  const channels = [
    ["undici:request:create", created],
    ["undici:request:headers", answered],
    ["undici:request:trailers", ended],
    ["undici:request:error", ended],
  ] as const;
  for (const [name, listener] of channels) subscribe(name, listener);
  return () => {
    for (const [name, listener] of channels) unsubscribe(name, listener);
  };
}
