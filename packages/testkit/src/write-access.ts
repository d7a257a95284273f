import type { Answer } from "./answer.ts";
import { refuseWithCondition } from "./answer.ts";
import type { Lock } from "./locks.ts";
import { multistatusAnswer } from "./multistatus.ts";
import { parentOf, toHref } from "./paths.ts";
import type { DavRequest, Site } from "./site.ts";

export interface WriteAccess {
  readonly path: string;
  /** The resource appears or vanishes, which changes its parent too (RFC 4918, section 7.4). */
  readonly membership?: boolean;
  /** Everything below is affected as well. */
  readonly members?: boolean;
}

/**
 * Makes sure that the request has submitted a token for each lock in its way, else ends with 423. When only members
 * are locked, returns the 207 that says which ones: RFC 4918 wants it for DELETE, COPY and MOVE of collections.
 */
export function requireWriteAccess(request: DavRequest, site: Site, access: WriteAccess): Answer | undefined {
  const { path, membership = false, members = false } = access;
  const own = site.locks.covering(path);
  const parents = site.locks
    .covering(parentOf(path))
    .filter((lock) => membership && path !== "/" && !own.includes(lock));
  for (const locks of [own, parents]) {
    if (!isUnlocked(locks, request)) refuseWithCondition(423, lockTokenSubmitted(locks, site));
  }
  if (!members) return undefined;
  const blocked = [...Map.groupBy(site.locks.below(path), (lock) => lock.path)].filter(
    ([, locks]) => !isUnlocked(locks, request),
  );
  if (blocked.length === 0) return undefined;
  return multistatusAnswer(
    blocked.map(([member, locks]) => ({
      href: toHref(site.basePath, member, site.tree.get(member)?.kind === "collection"),
      status: 423,
      error: lockTokenSubmitted(locks, site),
    })),
  );
}

/** Of several shared locks on one resource, holding one is enough. */
function isUnlocked(locks: readonly Lock[], request: DavRequest): boolean {
  return locks.length === 0 || locks.some((lock) => request.tokens.has(lock.token));
}

function lockTokenSubmitted(locks: readonly Lock[], site: Site): string {
  const hrefs = locks.map((lock) => `<D:href>${toHref(site.basePath, lock.path, false)}</D:href>`);
  return `<D:lock-token-submitted>${hrefs.join("")}</D:lock-token-submitted>`;
}
