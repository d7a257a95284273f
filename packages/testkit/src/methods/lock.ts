import type { Answer } from "../answer.ts";
import { refuse, refuseWithCondition, xmlAnswer } from "../answer.ts";
import type { Lock, LockDepth, LockScope } from "../locks.ts";
import { writeLiveProperty } from "../live-properties.ts";
import { multistatusAnswer } from "../multistatus.ts";
import { parentOf, toHref } from "../paths.ts";
import { parseRequestXml } from "../request-xml.ts";
import type { DavRequest, Site } from "../site.ts";
import { requireWriteAccess } from "../write-access.ts";
import { davChild, serializeXml } from "../xml.ts";

/** LOCK: with a body a new lock, without one the refresh of the lock that `If` names. */
export function lock(request: DavRequest, site: Site): Answer {
  return request.body.length === 0 ? refresh(request, site) : create(request, site);
}

function refresh(request: DavRequest, site: Site): Answer {
  if (request.tokens.size !== 1) refuse(400, "a LOCK without a body needs an If header with one lock token");
  const [token] = request.tokens;
  const found = site.locks.covering(request.path).find((candidate) => candidate.token === token);
  if (found === undefined) refuseWithCondition(412, "<D:lock-token-matches-request-uri/>");
  return describe(200, site.locks.refresh(found, timeoutOf(request, site)), request, site);
}

function create(request: DavRequest, site: Site): Answer {
  const { path } = request;
  const depth = request.headers["depth"] ?? "infinity";
  if (depth !== "0" && depth !== "infinity") refuse(400, "Depth of LOCK must be 0 or infinity");
  const { scope, owner } = parseLockInfo(request);
  const conflict = conflictWith(request, site, scope, depth);
  if (conflict !== undefined) return conflict;
  const exists = site.tree.exists(path);
  if (!exists) createEmptyFile(request, site);
  const granted = site.locks.grant({ path, scope, depth, owner, timeout: timeoutOf(request, site) });
  return describe(exists ? 200 : 201, granted, request, site, { "lock-token": `<${granted.token}>` });
}

function parseLockInfo(request: DavRequest): { readonly scope: LockScope; readonly owner: string } {
  const root = parseRequestXml(request, "lockinfo");
  const [scope, type, owner] = ["lockscope", "locktype", "owner"].map((name) => davChild(root, name));
  if (scope === undefined || type === undefined) refuse(400, "lockinfo needs lockscope and locktype");
  if (davChild(type, "write") === undefined) refuse(422, "only write locks are supported");
  const exclusive = davChild(scope, "exclusive") !== undefined;
  if (!exclusive && davChild(scope, "shared") === undefined) refuse(422, "lockscope is neither exclusive nor shared");
  return { scope: exclusive ? "exclusive" : "shared", owner: owner === undefined ? "" : serializeXml(owner) };
}

/** Shared locks bear one another; an exclusive one bears nobody (RFC 4918, section 6.1). */
function conflictWith(request: DavRequest, site: Site, scope: LockScope, depth: LockDepth): Answer | undefined {
  const { path } = request;
  const conflicts = (other: Lock): boolean => scope === "exclusive" || other.scope === "exclusive";
  const hrefOf = (at: string): string => toHref(site.basePath, at, site.tree.get(at)?.kind === "collection");
  const here = site.locks.covering(path).filter(conflicts);
  if (here.length > 0) {
    const hrefs = here.map((other) => `<D:href>${hrefOf(other.path)}</D:href>`).join("");
    refuseWithCondition(423, `<D:no-conflicting-lock>${hrefs}</D:no-conflicting-lock>`);
  }
  const below = depth === "infinity" ? site.locks.below(path).filter(conflicts) : [];
  if (below.length === 0) return undefined;
  const members = [...new Set(below.map((other) => other.path))];
  return multistatusAnswer([
    ...members.map((member) => ({ href: hrefOf(member), status: 423, error: "<D:no-conflicting-lock/>" })),
    { href: hrefOf(path), status: 424 },
  ]);
}

/** Locking a path where nothing is makes an empty file there (RFC 4918, section 7.3). */
function createEmptyFile(request: DavRequest, site: Site): void {
  const { path } = request;
  if (request.trailingSlash) refuse(409, "a file's path does not end with a slash");
  if (site.tree.get(parentOf(path))?.kind !== "collection") refuse(409, `no collection at ${parentOf(path)}`);
  requireWriteAccess(request, site, { path, membership: true });
  site.tree.write(path, "");
}

/** The first timeout of the header that makes sense, but no more than the server grants. In seconds. */
function timeoutOf(request: DavRequest, site: Site): number {
  const header = request.headers["timeout"];
  const seconds = /Second-(\d+)/i.exec(typeof header === "string" ? header : "")?.[1];
  return seconds === undefined ? site.lockTimeout : Math.min(Number(seconds), site.lockTimeout);
}

function describe(
  status: number,
  granted: Lock,
  request: DavRequest,
  site: Site,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  const discovery = writeLiveProperty("lockdiscovery", {
    resource: site.tree.require(request.path),
    locks: [granted],
    basePath: site.basePath,
    now: site.clock.now(),
  });
  return xmlAnswer(status, `<D:prop xmlns:D="DAV:">${discovery}</D:prop>`, headers);
}
