import { describeError } from "@davpool/core";
import { addressProblem } from "./web-address.ts";

/** Fetches within the time there is. Rejects when that is over. */
export type Fetch = (url: string) => Promise<Response>;

/**
 * Where an issuer's keys are, as its metadata says: RFC 8414 first, then OpenID discovery.
 * @throws Error that says for each place what was wrong there.
 */
export async function findKeys(issuer: string, fetch: Fetch): Promise<URL> {
  const problems: string[] = [];
  for (const place of metadataPlaces(issuer)) {
    const found = await readMetadata(issuer, place, fetch);
    if (found instanceof URL) return found;
    problems.push(`${place} ${found}`);
  }
  throw new Error(problems.join("; "));
}

/** RFC 8414 §3.1 puts the well-known part before an issuer's path, OpenID Connect Discovery §4 behind it. */
function metadataPlaces(issuer: string): readonly string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, "");
  return [
    `${origin}/.well-known/oauth-authorization-server${path}`,
    `${origin}${path}/.well-known/openid-configuration`,
  ];
}

/** The keys' address, or what is wrong in words that follow the place. */
async function readMetadata(issuer: string, place: string, fetch: Fetch): Promise<URL | string> {
  let status: number;
  let text: string;
  try {
    const answer = await fetch(place);
    status = answer.status;
    text = await answer.text();
  } catch (error) {
    return `cannot be reached (${fetchProblem(error)})`;
  }
  if (status !== 200) return `answers ${status}`;
  const metadata = parse(text);
  if (!metadata) return "gives no JSON object";
  // Otherwise one issuer on a host could speak for another (RFC 8414 §3.3).
  if (metadata.issuer !== issuer)
    return `names the issuer ${JSON.stringify(metadata.issuer ?? null).slice(0, 200)}, and it must be written in exactly that way`;
  const { jwks_uri: keys } = metadata;
  if (typeof keys !== "string") return "names no jwks_uri";
  const problem = addressProblem(keys);
  return problem === undefined ? new URL(keys) : `has a jwks_uri that ${problem}`;
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Why a fetch failed. The platform's own message is always the same; what happened is below it. */
export function fetchProblem(error: unknown): string {
  return describeError(error instanceof TypeError && error.cause !== undefined ? error.cause : error);
}
