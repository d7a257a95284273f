import type { Answer } from "../answer.ts";
import { emptyAnswer, refuse } from "../answer.ts";
import { ifRangeHolds } from "../preconditions.ts";
import { parseRange } from "../range.ts";
import type { DavRequest, Site } from "../site.ts";
import type { FileResource } from "../tree.ts";

/** GET and HEAD. A collection is answered with the names of its members, a line each. */
export function read(request: DavRequest, site: Site): Answer {
  const resource = site.tree.get(request.path);
  if (resource === undefined) refuse(404, `nothing at ${request.path}`);
  if (resource.kind === "file") return readFile(request, resource);
  const names = site.tree.list(request.path).map((name) => `${name}\n`);
  return {
    status: 200,
    headers: { "content-type": "text/plain; charset=utf-8", "last-modified": resource.lastModified.toUTCString() },
    body: new TextEncoder().encode(names.join("")),
  };
}

function readFile(request: DavRequest, file: FileResource): Answer {
  const headers = {
    "content-type": file.contentType,
    etag: file.etag,
    "last-modified": file.lastModified.toUTCString(),
    "accept-ranges": "bytes",
  };
  const size = file.content.length;
  // Range is defined for GET alone (RFC 9110, section 14.2).
  const useRange = request.method === "GET" && ifRangeHolds(asString(request.headers["if-range"]), file);
  const range = useRange ? parseRange(request.headers.range, size) : undefined;
  if (range === undefined) return { status: 200, headers, body: file.content };
  if (range === "unsatisfiable") return emptyAnswer(416, { "content-range": `bytes */${size}` });
  return {
    status: 206,
    headers: { ...headers, "content-range": `bytes ${range.first}-${range.last}/${size}` },
    body: file.content.subarray(range.first, range.last + 1),
  };
}

function asString(header: string | string[] | undefined): string | undefined {
  return typeof header === "string" ? header : undefined;
}
