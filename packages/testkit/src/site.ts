import type { IncomingHttpHeaders } from "node:http";
import type { Answer } from "./answer.ts";
import type { ServerAuth } from "./auth.ts";
import type { Clock } from "./clock.ts";
import type { LockTable } from "./locks.ts";
import { decodeTarget } from "./paths.ts";
import type { FileTree } from "./tree.ts";

/** What one server serves, without its sockets. */
export interface Site {
  readonly name: string;
  readonly tree: FileTree;
  readonly locks: LockTable;
  readonly clock: Clock;
  /** Starts and ends with `/`. */
  readonly basePath: string;
  readonly auth?: ServerAuth;
  /** Seconds: what a lock gets that asks for nothing, and the most that one gets. */
  readonly lockTimeout: number;
}

/** A request whose body has arrived and whose path is known to lie below the base. */
export interface DavRequest {
  readonly method: string;
  /** Decoded and relative to the base. */
  readonly path: string;
  /** Whether the request's target ended with `/`. */
  readonly trailingSlash: boolean;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
  /** Lock tokens named in the `If` header. */
  readonly tokens: ReadonlySet<string>;
}

export type Method = (request: DavRequest, site: Site) => Answer;

/**
 * The tree path behind an absolute URL (`Destination`, a tagged list), or undefined when the URL belongs to another
 * server or lies outside the base. A bare path is accepted as well (RFC 4918, section 10.3).
 */
export function pathOfUrl(url: string, request: DavRequest, site: Site): string | undefined {
  const host = /^https?:\/\/([^/?#]*)/i.exec(url)?.[1];
  if (host === undefined && !url.startsWith("/")) return undefined;
  if (host !== undefined && host.toLowerCase() !== request.headers.host?.toLowerCase()) return undefined;
  const target = decodeTarget(url, site.basePath);
  return target.ok ? target.path : undefined;
}
