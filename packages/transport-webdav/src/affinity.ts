import type { AffinityChange } from "@davpool/core";
import type { WebDavRequest, WebDavResponse } from "./wire.ts";

/** Milliseconds a lock is remembered when the request does not say how long it should last. */
const LOCK_TIME = 3_600_000;
/** In an `If` header: the resource that the lists after it are about, or a list. Quoted tags may hold any character. */
export const IF_PARTS = /<([^>]*)>|\((?:"[^"]*"|<[^>]*>|[^)"<])*\)/g;
const TOKEN = /<([^>]+)>/g;
const TAG = /(?:W\/)?"[^"]*"/g;
/** RFC 4918 §10.4.8: a token that no lock ever has. */
const NO_LOCK = "DAV:no-lock";

/**
 * The keys of lock tokens and entity tags that make a request mean something on one server only. `If-None-Match` binds
 * nothing: with a foreign tag it merely matches nothing.
 */
export function boundTo(path: string, headers: Readonly<Record<string, string>>): readonly string[] | undefined {
  let keys: string[] | undefined;
  for (const name in headers) {
    const value = headers[name] as string;
    switch (name.length) {
      case 2:
        if (name.toLowerCase() === "if") keys = [...(keys ?? []), ...ifKeys(path, value)];
        break;
      case 8:
        if (name.toLowerCase() === "if-match") keys = [...(keys ?? []), ...tagKeys(path, value)];
        break;
      case 10:
        if (name.toLowerCase() === "lock-token") keys = [...(keys ?? []), lockKey(bareToken(value))];
        break;
    }
  }
  return keys && keys.length > 0 ? keys : undefined;
}

/** What an answer teaches: a new lock, a lock that is gone, the tag that a file has on this server. */
export function learned(request: WebDavRequest, response: WebDavResponse): readonly AffinityChange[] {
  const changes: AffinityChange[] = [];
  const { status, headers } = response;
  if (status < 200 || status > 299) return changes;
  if (request.method === "LOCK") {
    const ttl = lockTime(header(request, "timeout"));
    for (const key of lockKeys(request, headers["lock-token"])) changes.push({ learn: key, kind: "lock", ttl });
  }
  if (request.method === "UNLOCK") {
    const given = header(request, "lock-token");
    if (given !== undefined) changes.push({ forget: lockKey(bareToken(given)) });
  }
  if (typeof headers.etag === "string") changes.push({ learn: tagKey(request.path, headers.etag), kind: "tag" });
  return changes;
}

/** `Lock-Token` takes a coded URL (RFC 4918 §10.5); people and servers write bare tokens as well. */
export function bareToken(value: string): string {
  return value.trim().replace(/^<(.*)>$/, "$1");
}

/** An `If` header (RFC 4918 §10.4) from a bare token, and any other as it is. */
export function ifHeader(value: string): string {
  return value.includes("(") ? value : `(<${bareToken(value)}>)`;
}

export function header(request: WebDavRequest, name: string): string | undefined {
  const { headers } = request;
  if (headers) for (const key in headers) if (key.toLowerCase() === name) return headers[key];
  return undefined;
}

/** A new lock comes as a header; a refresh names its lock in the request, and answers without one. */
function lockKeys(request: WebDavRequest, granted: string | string[] | undefined): readonly string[] {
  if (typeof granted === "string") return [lockKey(bareToken(granted))];
  const refreshed = header(request, "if");
  return refreshed === undefined ? [] : ifKeys("", refreshed).filter((key) => key.startsWith(LOCK));
}

function ifKeys(path: string, value: string): string[] {
  let resource = path;
  return [...ifHeader(value).matchAll(IF_PARTS)].flatMap(([part, named]) => {
    if (named !== undefined) {
      resource = named;
      return [];
    }
    const tokens = [...part.matchAll(TOKEN)].map(([, token]) => String(token));
    return [...tokens.filter((token) => token !== NO_LOCK).map(lockKey), ...tagKeys(resource, part)];
  });
}

function tagKeys(path: string, value: string): string[] {
  return (value.match(TAG) ?? []).map((tag) => tagKey(path, tag));
}

const LOCK = "lock ";

/** The lock tokens among keys of the affinity store. */
export function lockTokens(keys: readonly string[]): readonly string[] {
  return keys.filter((key) => key.startsWith(LOCK)).map((key) => key.slice(LOCK.length));
}

function lockKey(token: string): string {
  return LOCK + token;
}

function tagKey(path: string, tag: string): string {
  return `etag ${plain(path)} ${tag}`;
}

/** One spelling of a path, however it is escaped and wherever it has slashes too many. */
function plain(path: string): string {
  const name = path.replaceAll(/^\/+|\/+$/g, "").replaceAll(/\/{2,}/g, "/");
  if (!name.includes("%")) return name;
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function lockTime(timeout: string | undefined): number {
  const seconds = /Second-(\d+)/i.exec(timeout ?? "")?.[1];
  return seconds === undefined ? LOCK_TIME : Number(seconds) * 1_000;
}
