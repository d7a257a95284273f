import type { AffinityChange } from "@davpool/core";
import { InvalidRequestError } from "./errors.ts";
import { bareToken, entityTags, ifParts } from "./if-header.ts";
import type { WebDavRequest, WebDavResponse } from "./wire.ts";

/** Milliseconds a lock is remembered when neither the request nor the answer says how long it lasts. */
const LOCK_TIME = 3_600_000;
/** RFC 4918 §10.4.8: a token that no lock ever has. */
const NO_LOCK = "DAV:no-lock";
/** Methods whose answer's entity tag is not that of the request's path. */
const ABOUT_ANOTHER = new Set(["COPY", "MOVE", "DELETE", "POST"]);
/** Bytes of a LOCK's answer that are looked at. */
const LOCK_ANSWER = 16 * 1024;

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
        if (name.toLowerCase() === "if-match") keys = [...(keys ?? []), ...tagKeys(path, entityTags(value))];
        break;
      case 10:
        if (name.toLowerCase() === "lock-token") keys = [...(keys ?? []), lockKey(bareToken(value))];
        break;
    }
  }
  return keys && keys.length > 0 ? keys : undefined;
}

/** What an answer teaches: a new lock, a lock that is gone, the tag that a file has on this server. */
export function learned(
  request: WebDavRequest,
  response: WebDavResponse,
): readonly AffinityChange[] | Promise<readonly AffinityChange[]> {
  const { method, path } = request;
  const { status, headers } = response;
  if (status < 200 || status > 299) return [];
  if (method === "LOCK") return learnedLocks(request, response);
  if (method === "UNLOCK") {
    const given = header(request, "lock-token");
    return given === undefined ? [] : [{ forget: lockKey(bareToken(given)) }];
  }
  return typeof headers.etag === "string" && !ABOUT_ANOTHER.has(method)
    ? [{ learn: tagKey(path, headers.etag), kind: "tag" }]
    : [];
}

export function header(request: WebDavRequest, name: string): string | undefined {
  const { headers } = request;
  if (headers) for (const key in headers) if (key.toLowerCase() === name) return headers[key];
  return undefined;
}

async function learnedLocks(request: WebDavRequest, response: WebDavResponse): Promise<readonly AffinityChange[]> {
  const keys = lockKeys(request, response.headers["lock-token"]);
  if (keys.length === 0) return [];
  // The server need not grant what was asked for, and its answer says what it has granted (RFC 4918 §10.7).
  const text = Buffer.from(await response.body.peek(LOCK_ANSWER)).toString("utf8");
  const granted = Array.from(text.matchAll(/timeout\s*>\s*(Infinite|Second-\d+)/gi), ([, time]) => String(time));
  const ttl = lockTime(granted) ?? lockTime(header(request, "timeout")?.split(",") ?? []) ?? LOCK_TIME;
  return keys.map((learn) => ({ learn, kind: "lock", ...(ttl !== Infinity && { ttl }) }));
}

/** A new lock comes as a header; a refresh has no body, names its lock in the request, and answers without one. */
function lockKeys(request: WebDavRequest, granted: string | string[] | undefined): readonly string[] {
  if (typeof granted === "string") return [lockKey(bareToken(granted))];
  const refreshed = header(request, "if");
  if (refreshed === undefined || (request.body !== undefined && request.body !== "")) return [];
  return ifKeys("", refreshed).filter((key) => key.startsWith(LOCK));
}

function ifKeys(path: string, value: string): readonly string[] {
  let resource = path;
  const keys: string[] = [];
  for (const part of partsOf(value)) {
    if ("resource" in part) resource = part.resource;
    else {
      const tokens = part.tokens.filter((token) => token !== NO_LOCK);
      keys.push(...tokens.map(lockKey), ...tagKeys(resource, part.tags));
    }
  }
  return keys;
}

/** What cannot be read binds nothing: it is refused before it is sent. */
function partsOf(value: string): ReturnType<typeof ifParts> {
  try {
    return ifParts(value);
  } catch (error) {
    if (error instanceof InvalidRequestError) return [];
    throw error;
  }
}

function tagKeys(path: string, tags: readonly string[]): readonly string[] {
  return tags.map((tag) => tagKey(path, tag));
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
  const name = path
    .split("/")
    .filter((segment) => segment !== "")
    .join("/");
  return decoded(name);
}

/** Without its escapes; as it is where they cannot be read. */
export function decoded(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Milliseconds of the longest of several times, `Infinity` for no limit, undefined where none can be read. */
function lockTime(times: readonly string[]): number | undefined {
  const found = times.flatMap((time) => {
    const [, word] = /^\s*(Infinite|Second-\d+)\s*$/i.exec(time) ?? [];
    if (word === undefined) return [];
    return word.toLowerCase() === "infinite" ? Infinity : Number(word.slice("Second-".length)) * 1_000;
  });
  return found.length === 0 ? undefined : Math.max(...found);
}
