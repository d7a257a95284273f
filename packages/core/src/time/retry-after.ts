/**
 * Milliseconds that a `Retry-After` header asks to wait, in seconds or as a date (RFC 9110 §10.2.3); undefined when it
 * says nothing that can be read.
 */
export function retryAfter(header: string | readonly string[] | undefined, now: Date): number | undefined {
  const text = (typeof header === "string" ? header : header?.[0])?.trim();
  if (text === undefined || text === "") return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now.getTime();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}
