import type { Lock } from "./locks.ts";
import { toHref } from "./paths.ts";
import type { Resource } from "./tree.ts";
import { escapeXml } from "./xml.ts";

/** What a live property is computed from. */
export interface PropertySubject {
  readonly resource: Resource;
  /** The locks that cover the resource. */
  readonly locks: readonly Lock[];
  readonly basePath: string;
  /** The lock table's clock, in milliseconds. */
  readonly now: number;
}

type LiveProperty = (subject: PropertySubject) => string | undefined;

/**
 * The `DAV:` properties that the server computes (RFC 4918, section 15) by name, as the content of their element.
 * Undefined means that this resource does not have the property.
 */
const LIVE_PROPERTIES: Readonly<Record<string, LiveProperty>> = {
  creationdate: ({ resource }) => resource.created.toISOString(),
  getlastmodified: ({ resource }) => resource.lastModified.toUTCString(),
  resourcetype: ({ resource }) => (resource.kind === "collection" ? "<D:collection/>" : ""),
  getcontentlength: ({ resource }) => (resource.kind === "file" ? String(resource.content.length) : undefined),
  getcontenttype: ({ resource }) => (resource.kind === "file" ? escapeXml(resource.contentType) : undefined),
  getetag: ({ resource }) => (resource.kind === "file" ? escapeXml(resource.etag) : undefined),
  supportedlock: () => ["exclusive", "shared"].map((scope) => `<D:lockentry>${lockKind(scope)}</D:lockentry>`).join(""),
  lockdiscovery: ({ locks, basePath, now }) => locks.map((lock) => writeActiveLock(lock, basePath, now)).join(""),
};

export function isLiveProperty(property: { readonly namespace: string; readonly name: string }): boolean {
  return property.namespace === "DAV:" && Object.hasOwn(LIVE_PROPERTIES, property.name);
}

export function livePropertyNames(): string[] {
  return Object.keys(LIVE_PROPERTIES);
}

/** The serialized element, or undefined when the resource has no such property. */
export function writeLiveProperty(name: string, subject: PropertySubject): string | undefined {
  const content = LIVE_PROPERTIES[name]?.(subject);
  if (content === undefined) return undefined;
  return content === "" ? `<D:${name}/>` : `<D:${name}>${content}</D:${name}>`;
}

function writeActiveLock(lock: Lock, basePath: string, now: number): string {
  const left = Math.max(0, Math.ceil((lock.expires - now) / 1000));
  return [
    `<D:activelock>${lockKind(lock.scope)}<D:depth>${lock.depth}</D:depth>${lock.owner}`,
    `<D:timeout>Second-${left}</D:timeout><D:locktoken><D:href>${lock.token}</D:href></D:locktoken>`,
    `<D:lockroot><D:href>${escapeXml(toHref(basePath, lock.path, false))}</D:href></D:lockroot></D:activelock>`,
  ].join("");
}

function lockKind(scope: string): string {
  return `<D:lockscope><D:${scope}/></D:lockscope><D:locktype><D:write/></D:locktype>`;
}
