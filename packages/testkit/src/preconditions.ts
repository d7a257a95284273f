import type { Resource } from "./tree.ts";
import type { IncomingHttpHeaders } from "node:http";

/**
 * Evaluates `If-Match`, `If-Unmodified-Since`, `If-None-Match` and `If-Modified-Since` in the order of
 * RFC 9110, section 13.2.2. Undefined means: go on.
 */
export function evaluatePreconditions(
  method: string,
  headers: IncomingHttpHeaders,
  resource: Resource | undefined,
): 304 | 412 | undefined {
  const reading = method === "GET" || method === "HEAD";
  const etag = etagOf(resource);
  const ifMatch = headers["if-match"];
  const unmodifiedSince = dateOf(headers["if-unmodified-since"]);
  if (ifMatch !== undefined) {
    if (!matchesStrongly(ifMatch, resource !== undefined, etag)) return 412;
  } else if (unmodifiedSince !== undefined && resource !== undefined) {
    if (wholeSeconds(resource.lastModified) > unmodifiedSince) return 412;
  }

  const ifNoneMatch = headers["if-none-match"];
  const modifiedSince = dateOf(headers["if-modified-since"]);
  if (ifNoneMatch !== undefined) {
    if (matchesWeakly(ifNoneMatch, resource !== undefined, etag)) return reading ? 304 : 412;
  } else if (reading && modifiedSince !== undefined && resource !== undefined) {
    if (wholeSeconds(resource.lastModified) <= modifiedSince) return 304;
  }
  return undefined;
}

/** Whether a `Range` may be honoured under this `If-Range` (RFC 9110, section 13.1.5). */
export function ifRangeHolds(ifRange: string | undefined, resource: Resource): boolean {
  if (ifRange === undefined) return true;
  if (ifRange.includes('"')) return ifRange === etagOf(resource);
  return dateOf(ifRange) === wholeSeconds(resource.lastModified);
}

export function etagOf(resource: Resource | undefined): string | undefined {
  return resource?.kind === "file" ? resource.etag : undefined;
}

function matchesStrongly(header: string, exists: boolean, etag: string | undefined): boolean {
  if (header.trim() === "*") return exists;
  return etag !== undefined && listOf(header).includes(etag);
}

function matchesWeakly(header: string, exists: boolean, etag: string | undefined): boolean {
  if (header.trim() === "*") return exists;
  return etag !== undefined && listOf(header).some((candidate) => candidate.replace(/^W\//, "") === etag);
}

function listOf(header: string): string[] {
  return header.match(/(?:W\/)?"[^"]*"/g) ?? [];
}

function dateOf(header: string | undefined): number | undefined {
  const time = header === undefined ? Number.NaN : Date.parse(header);
  return Number.isNaN(time) ? undefined : time;
}

/** HTTP dates have no fractions. */
function wholeSeconds(date: Date): number {
  return Math.floor(date.getTime() / 1000) * 1000;
}
