import type { Answer } from "../answer.ts";
import { emptyAnswer, refuse } from "../answer.ts";
import type { DavRequest, Site } from "../site.ts";
import { requireWriteAccess } from "../write-access.ts";

/** DELETE. A locked member fails the whole request with a 207, and nothing is deleted. */
export function remove(request: DavRequest, site: Site): Answer {
  const { path } = request;
  const resource = site.tree.get(path);
  if (resource === undefined) refuse(404, `nothing at ${path}`);
  if (path === "/") refuse(403, "the root cannot be deleted");
  const depth = request.headers["depth"];
  if (resource.kind === "collection" && depth !== undefined && depth !== "infinity") {
    refuse(400, "Depth of DELETE on a collection must be infinity");
  }
  const lockedMembers = requireWriteAccess(request, site, { path, membership: true, members: true });
  if (lockedMembers !== undefined) return lockedMembers;
  site.tree.delete(path);
  site.locks.releaseTree(path);
  return emptyAnswer(204);
}
