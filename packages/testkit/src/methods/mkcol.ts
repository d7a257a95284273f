import type { Answer } from "../answer.ts";
import { emptyAnswer, refuse } from "../answer.ts";
import { parentOf } from "../paths.ts";
import type { DavRequest, Site } from "../site.ts";
import { requireWriteAccess } from "../write-access.ts";
import { allowedMethods } from "./options.ts";

export function mkcol(request: DavRequest, site: Site): Answer {
  const { path } = request;
  if (request.body.length > 0) refuse(415, "MKCOL with a body is not supported");
  if (site.tree.exists(path)) refuse(405, `${path} exists`, { allow: allowedMethods(site.tree.get(path)) });
  if (site.tree.get(parentOf(path))?.kind !== "collection") refuse(409, `no collection at ${parentOf(path)}`);
  requireWriteAccess(request, site, { path, membership: true });
  site.tree.makeCollection(path);
  return emptyAnswer(201);
}
