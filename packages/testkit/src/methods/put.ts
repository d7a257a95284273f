import type { Answer } from "../answer.ts";
import { emptyAnswer, refuse } from "../answer.ts";
import { parentOf } from "../paths.ts";
import type { DavRequest, Site } from "../site.ts";
import { requireWriteAccess } from "../write-access.ts";
import { allowedMethods } from "./options.ts";

export function put(request: DavRequest, site: Site): Answer {
  const { path } = request;
  const old = site.tree.get(path);
  if (old?.kind === "collection") refuse(405, `${path} is a collection`, { allow: allowedMethods(old) });
  if (request.trailingSlash) refuse(409, "a file's path does not end with a slash");
  // Taking the part for the whole would truncate the file (RFC 9110, section 14.5).
  if (request.headers["content-range"] !== undefined) refuse(400, "Content-Range is not supported with PUT");
  if (site.tree.get(parentOf(path))?.kind !== "collection") refuse(409, `no collection at ${parentOf(path)}`);
  requireWriteAccess(request, site, { path, membership: old === undefined });

  const contentType = request.headers["content-type"];
  const file = site.tree.write(path, request.body, contentType === undefined ? {} : { contentType });
  return emptyAnswer(old === undefined ? 201 : 204, { etag: file.etag });
}
