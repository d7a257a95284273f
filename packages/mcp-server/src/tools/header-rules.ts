import { suggestion, type ConfigIssue } from "@davpool/core";

/** Headers beside the standard ones that the operator lets pass, from agents to servers and back. */
export interface HeaderSettings {
  readonly requestHeaders: readonly string[];
  readonly responseHeaders: readonly string[];
}

/** What HTTP (RFC 9110, 9111, 7240, 9530), WebDAV (RFC 4918, 3253, 3648, 4437, 5842) and CalDAV (RFC 6638) let clients say. */
const REQUEST = [
  "accept",
  "accept-charset",
  "accept-encoding",
  "accept-language",
  "apply-to-redirect-ref",
  "cache-control",
  "content-digest",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-md5",
  "content-range",
  "content-type",
  "depth",
  "destination",
  "digest",
  "if",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-schedule-tag-match",
  "if-unmodified-since",
  "label",
  "lock-token",
  "max-forwards",
  "ordering-type",
  "overwrite",
  "position",
  "pragma",
  "prefer",
  "range",
  "redirect-ref",
  "repr-digest",
  "schedule-reply",
  "timeout",
  "user-agent",
  "want-content-digest",
  "want-digest",
  "want-repr-digest",
];

/** What servers say of a resource, of themselves and of what they did. */
const RESPONSE = [
  "accept-patch",
  "accept-ranges",
  "age",
  "allow",
  "cache-control",
  "content-digest",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-length",
  "content-location",
  "content-md5",
  "content-range",
  "content-type",
  "dasl",
  "date",
  "dav",
  "depth",
  "destination",
  "digest",
  "etag",
  "expires",
  "last-modified",
  "link",
  "location",
  "lock-token",
  "ms-author-via",
  "overwrite",
  "pragma",
  "preference-applied",
  "public",
  "redirect-ref",
  "repr-digest",
  "retry-after",
  "schedule-tag",
  "server",
  "timeout",
  "vary",
  "warning",
];

/** Credentials, what is meant for one hop, and what proxies and frameworks believe of a request. Nobody can let it pass. */
const NEVER = new Set([
  "authentication-info",
  "authorization",
  "connection",
  "cookie",
  "cookie2",
  "expect",
  "forwarded",
  "front-end-https",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "set-cookie",
  "set-cookie2",
  "te",
  "trailer",
  "transfer-encoding",
  "true-client-ip",
  "upgrade",
  "via",
  "www-authenticate",
  "x-client-ip",
  "x-cluster-client-ip",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-original-host",
  "x-original-url",
  "x-real-ip",
  "x-rewrite-url",
]);
const NEVER_BEGINS = /^(?:x-forwarded|x-remote|proxy-|sec-|cf-)/;

function never(name: string): boolean {
  return NEVER.has(name) || NEVER_BEGINS.test(name);
}

/** Which headers pass between agents and servers. */
export class HeaderRules {
  readonly #request: ReadonlySet<string>;
  readonly #response: ReadonlySet<string>;

  constructor({ requestHeaders, responseHeaders }: HeaderSettings) {
    this.#request = allowed(REQUEST, requestHeaders);
    this.#response = allowed(RESPONSE, responseHeaders);
  }

  /** What is wrong with the headers of a request; a name counts as the same in every spelling. */
  problems(headers: Readonly<Record<string, string>>, depth: string | undefined): readonly ConfigIssue[] {
    const seen = new Map<string, string>(depth === undefined ? [] : [["depth", "the argument depth"]]);
    return Object.keys(headers).flatMap((name): readonly ConfigIssue[] => {
      const path = `headers.${name}`;
      const lower = name.trim().toLowerCase();
      const former = seen.get(lower);
      seen.set(lower, name);
      if (former !== undefined)
        return [{ path, message: `says the same as ${former}; give a header once, in one spelling.` }];
      if (this.#request.has(lower)) return [];
      if (never(lower)) return [{ path, message: "is never passed on to servers." }];
      const hint = suggestion(lower, [...this.#request]);
      return [
        {
          path,
          message: "is not passed on to servers; the operator can allow it with security.requestHeaders.",
          ...(hint !== undefined && { suggestion: hint }),
        },
      ];
    });
  }

  /** Those headers of an answer that agents may see. */
  shown<T>(headers: Readonly<Record<string, T>>): Record<string, T> {
    return Object.fromEntries(Object.entries(headers).filter(([name]) => this.#response.has(name.toLowerCase())));
  }
}

function allowed(standard: readonly string[], more: readonly string[]): ReadonlySet<string> {
  return new Set([...standard, ...more.map((name) => name.toLowerCase())].filter((name) => !never(name)));
}

/** Names in the configuration that would be without effect. */
export function headerProblems(security: unknown): readonly ConfigIssue[] {
  const settings = (security ?? {}) as Readonly<Record<string, unknown>>;
  return ["requestHeaders", "responseHeaders"].flatMap((key) => {
    const names: unknown = settings[key];
    if (!Array.isArray(names)) return [];
    return names.flatMap((name, index) =>
      typeof name === "string" && never(name.toLowerCase())
        ? { path: `security.${key}[${index}]`, message: `${JSON.stringify(name)} is never passed on; leave it out.` }
        : [],
    );
  });
}
