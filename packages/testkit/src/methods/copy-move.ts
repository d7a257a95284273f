import type { Answer } from "../answer.ts";
import { emptyAnswer, refuse } from "../answer.ts";
import { isBelow, parentOf } from "../paths.ts";
import type { DavRequest, Site } from "../site.ts";
import { pathOfUrl } from "../site.ts";
import type { Resource } from "../tree.ts";
import { requireWriteAccess } from "../write-access.ts";

export function copy(request: DavRequest, site: Site): Answer {
  const { path } = request;
  const { source, destination, replaced } = prepare(request, site);
  const depth = request.headers["depth"] ?? "infinity";
  if (depth !== "0" && depth !== "infinity") refuse(400, "Depth of COPY must be 0 or infinity");
  const lockedMembers = requireDestination(request, site, destination, replaced);
  if (lockedMembers !== undefined) return lockedMembers;
  if (replaced) removeForReplacement(site, path, destination);
  site.tree.copy(path, destination, { depth: source.kind === "file" ? "infinity" : depth });
  return emptyAnswer(replaced ? 204 : 201);
}

export function move(request: DavRequest, site: Site): Answer {
  const { path } = request;
  const { source, destination, replaced } = prepare(request, site);
  const depth = request.headers["depth"] ?? "infinity";
  if (source.kind === "collection" && depth !== "infinity")
    refuse(400, "Depth of MOVE on a collection must be infinity");
  const lockedMembers =
    requireWriteAccess(request, site, { path, membership: true, members: true }) ??
    requireDestination(request, site, destination, replaced);
  if (lockedMembers !== undefined) return lockedMembers;
  if (replaced) removeForReplacement(site, path, destination);
  site.tree.move(path, destination);
  // Locks stay where they were granted and do not move along (RFC 4918, section 9.9).
  site.locks.releaseTree(path);
  return emptyAnswer(replaced ? 204 : 201);
}

function prepare(
  request: DavRequest,
  site: Site,
): { readonly source: Resource; readonly destination: string; readonly replaced: boolean } {
  const { path } = request;
  const source = site.tree.get(path);
  if (source === undefined) refuse(404, `nothing at ${path}`);
  const destination = destinationOf(request, site);
  if (destination === path) refuse(403, "source and destination are the same");
  if (isBelow(destination, path)) refuse(403, "the source contains the destination");
  if (site.tree.get(parentOf(destination))?.kind !== "collection") {
    refuse(409, `no collection at ${parentOf(destination)}`);
  }
  const replaced = site.tree.exists(destination);
  if (replaced && String(request.headers["overwrite"]).toUpperCase() === "F") refuse(412, `${destination} exists`);
  return { source, destination, replaced };
}

function destinationOf(request: DavRequest, site: Site): string {
  const header = request.headers["destination"];
  if (typeof header !== "string") refuse(400, "Destination is missing");
  const path = pathOfUrl(header, request, site);
  if (path === undefined) refuse(502, `Destination is not on this server: ${header}`);
  return path;
}

function requireDestination(request: DavRequest, site: Site, path: string, replaced: boolean): Answer | undefined {
  return requireWriteAccess(request, site, { path, membership: !replaced, members: true });
}

/**
 * A lock on a replaced destination stays on it, those on its members go with them (RFC 4918, section 9.9.3).
 *
 * As with Apache the destination goes first. One that contains the source takes it along, and nothing is left to copy.
 */
function removeForReplacement(site: Site, source: string, destination: string): void {
  site.tree.delete(destination);
  for (const lock of site.locks.below(destination)) site.locks.release(lock.token);
  if (isBelow(source, destination)) refuse(500, `${source} was deleted together with ${destination}`);
}
