import type { Answer } from "../answer.ts";
import { emptyAnswer } from "../answer.ts";
import type { DavRequest, Site } from "../site.ts";
import type { Resource } from "../tree.ts";

export function options(request: DavRequest, site: Site): Answer {
  return emptyAnswer(200, {
    allow: allowedMethods(site.tree.get(request.path)),
    dav: "1, 2",
    "ms-author-via": "DAV",
    "content-length": "0",
  });
}

/** The `Allow` header for what is at a path now; undefined stands for nothing. */
export function allowedMethods(resource: Resource | undefined): string {
  if (resource === undefined) return "OPTIONS, PUT, MKCOL, LOCK";
  const common = "OPTIONS, GET, HEAD, DELETE, PROPFIND, PROPPATCH, COPY, MOVE, LOCK, UNLOCK";
  return resource.kind === "file" ? `${common}, PUT` : common;
}
