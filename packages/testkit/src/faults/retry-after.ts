import type { StatusFault } from "./fault.ts";

/**
 * The fault that answers "come back later": 503, or 429 where `options` say so, with `Retry-After`.
 *
 * ```ts
 * await server.inject(retryAfter(2, { times: 1 })); // seconds
 * await server.inject(retryAfter(new Date(Date.now() + 60_000), { status: 429 })); // a date
 * await server.inject(retryAfter("soon")); // verbatim
 * ```
 *
 * `when` is a number of seconds, a date, or text that is sent as it is; numbers and dates may be as absurd as one
 * likes.
 */
export function retryAfter(when: number | Date | string, options: Partial<StatusFault> = {}): StatusFault {
  const value = when instanceof Date ? when.toUTCString() : String(when);
  return { kind: "status", status: 503, ...options, headers: { ...options.headers, "retry-after": value } };
}

/** Values that servers have been seen to send in `Retry-After`, or might: none of them may be taken at its word. */
export const ABSURD_RETRY_AFTER = [
  "",
  "soon",
  "-1",
  "1.5",
  "1e3",
  "NaN",
  "31536000000",
  "9".repeat(400),
  "Thu, 01 Jan 1970 00:00:00 GMT",
  "Fri, 31 Dec 9999 23:59:59 GMT",
  "Thu, 32 Foo 2026 99:99:99 GMT",
  "2026-01-01T00:00:00Z",
] as const;
