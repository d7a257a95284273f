import type { AffinityChange } from "@davpool/core";
import type { WebDavRequest, WebDavResponse } from "./wire.ts";

/** Milliseconds a lock is remembered when neither side says how long it lasts. */
const LOCK_TIME = 3_600_000;
const TOKEN = /<([^>]+)>/g;
const TAG = /(?:W\/)?"[^"]*"/g;

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
  const token = headers["lock-token"];
  if (request.method === "LOCK" && typeof token === "string")
    changes.push({ learn: lockKey(bareToken(token)), ttl: lockTime(header(request, "timeout")) });
  if (request.method === "UNLOCK") {
    const given = header(request, "lock-token");
    if (given !== undefined) changes.push({ forget: lockKey(bareToken(given)) });
  }
  if (typeof headers.etag === "string") changes.push({ learn: tagKey(request.path, headers.etag) });
  return changes;
}

/** `Lock-Token` takes a coded URL (RFC 4918 §10.5); people and servers write bare tokens as well. */
export function bareToken(value: string): string {
  return value.trim().replace(/^<(.*)>$/, "$1");
}

/** An `If` header (RFC 4918 §10.4) from a bare token, and any other as it is. */
export function ifHeader(value: string): string {
  return /[(]/.test(value) ? value : `(<${bareToken(value)}>)`;
}

export function header(request: WebDavRequest, name: string): string | undefined {
  const { headers } = request;
  if (headers) for (const key in headers) if (key.toLowerCase() === name) return headers[key];
  return undefined;
}

function ifKeys(path: string, value: string): string[] {
  // State tokens stand in parentheses; a coded URL outside of them tags the resource a list is about.
  const lists = ifHeader(value).match(/\([^)]*\)/g) ?? [];
  return lists.flatMap((list) => [
    ...[...list.matchAll(TOKEN)].map(([, token]) => lockKey(String(token))),
    ...tagKeys(path, list),
  ]);
}

function tagKeys(path: string, value: string): string[] {
  return (value.match(TAG) ?? []).map((tag) => tagKey(path, tag));
}

function lockKey(token: string): string {
  return `lock ${token}`;
}

function tagKey(path: string, tag: string): string {
  return `etag ${path.replace(/^\/+|\/+$/g, "")} ${tag}`;
}

function lockTime(timeout: string | undefined): number {
  const seconds = /Second-(\d+)/i.exec(timeout ?? "")?.[1];
  return seconds === undefined ? LOCK_TIME : Number(seconds) * 1_000;
}
