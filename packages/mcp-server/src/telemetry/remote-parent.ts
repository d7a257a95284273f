import type { IncomingHttpHeaders } from "node:http";
import { context, propagation, type Context, type TextMapGetter } from "@opentelemetry/api";

/** `_meta` of a request's parameters, as a stranger wrote it. */
export type RequestMeta = Readonly<Record<string, unknown>>;

const fromMeta: TextMapGetter<RequestMeta> = {
  keys: (meta) => Object.keys(meta),
  get: (meta, key) => text(meta[key]),
};

const fromHttp: TextMapGetter<Headers | IncomingHttpHeaders> = {
  keys: (headers) => (headers instanceof Headers ? [...headers.keys()] : Object.keys(headers)),
  get: (headers, key) => (headers instanceof Headers ? (headers.get(key) ?? undefined) : headers[key]),
};

/** The caller's context that a request's `_meta` names, else the active one. */
export function extractMetaContext(meta: RequestMeta | undefined): Context {
  const active = context.active();
  if (meta === undefined || (text(meta.traceparent) ?? text(meta.baggage)) === undefined) return active;
  return propagation.extract(active, meta, fromMeta);
}

/** The caller's context that an HTTP request's headers name, else the active one: what the request is to run in. */
export function extractHttpContext(headers: Headers | IncomingHttpHeaders): Context {
  return propagation.extract(context.active(), headers, fromHttp);
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
