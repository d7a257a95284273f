import { protectedResourceUrl } from "./protected-resource.ts";
import type { IdentitySettings } from "./settings.ts";

/** Why a token is refused, with what its sender is told. Plain ASCII without quotes: it goes into a header. */
export const REFUSALS = {
  malformed: "The Authorization header must be Bearer and one token of at most 8 KiB.",
  unknown: "The access token is not known here.",
  expired: "The access token has expired.",
  "not-yet-valid": "The access token is not valid yet.",
  audience: "The access token was issued for another server.",
  issuer: "The access token comes from another issuer.",
  algorithm: "The access token is signed with an algorithm that is not accepted.",
  key: "The access token is signed with a key that its issuer does not publish.",
  signature: "The signature of the access token is wrong.",
  claims: "The access token lacks a claim that is needed, or has it in a wrong form.",
  "no-jwt": "The access token is neither known here nor a JWT that can be read.",
} as const;

export type Refusal = keyof typeof REFUSALS;

/** How a request is answered that must not go on. Safe to send as it is: nothing of the request is in it. */
export interface Denial {
  readonly status: 401 | 403 | 429 | 503;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly error: string; readonly error_description: string };
}

export function isDenial(result: object): result is Denial {
  return "status" in result && "body" in result;
}

/** Makes denials as RFC 6750 §3 and RFC 9728 §5.1 want them. */
export class Denials {
  readonly #discoverable: boolean;
  readonly #required: readonly string[];

  constructor({ oauth }: IdentitySettings) {
    this.#discoverable = oauth !== undefined;
    this.#required = oauth?.requiredScopes ?? [];
  }

  /** Nobody said who it is. The challenge has no error code then. */
  noToken(resource: string): Denial {
    const body = { error: "unauthorized", error_description: "Send an access token: Authorization: Bearer." };
    return denial(401, body, this.#challenge(resource, { scope: this.#required }));
  }

  invalidToken(resource: string, refusal: Refusal): Denial {
    const body = { error: "invalid_token", error_description: REFUSALS[refusal] };
    return denial(401, body, this.#challenge(resource, { body, scope: this.#required }));
  }

  /** @param scope what the token would need. */
  insufficientScope(resource: string, scope: readonly string[]): Denial {
    const body = {
      error: "insufficient_scope",
      error_description: "The access token lacks a scope that is needed here.",
    };
    return denial(403, body, this.#challenge(resource, { body, scope }));
  }

  /** @param wait milliseconds. */
  tooManyFailures(wait: number): Denial {
    const body = {
      error: "too_many_failures",
      error_description: "Too many access tokens from this address were refused; wait before the next one.",
    };
    return denial(429, body, retryAfter(wait));
  }

  /** @param wait milliseconds. */
  tooManyRequests(wait: number): Denial {
    const body = {
      error: "rate_limited",
      error_description: "You have sent too many requests; wait before the next one.",
    };
    return denial(429, body, retryAfter(wait));
  }

  /** @param wait milliseconds. */
  issuerUnavailable(wait: number): Denial {
    const body = {
      error: "temporarily_unavailable",
      error_description: "The access token cannot be checked now, as the keys of its issuer cannot be fetched.",
    };
    return denial(503, body, retryAfter(wait));
  }

  #challenge(
    resource: string,
    { body, scope }: { readonly body?: Denial["body"]; readonly scope: readonly string[] },
  ): Record<string, string> {
    const parameters = {
      realm: "davpool",
      ...body,
      ...(scope.length > 0 && { scope: scope.join(" ") }),
      ...(this.#discoverable && { resource_metadata: protectedResourceUrl(resource) }),
    };
    const written = Object.entries(parameters).map(([name, value]) => `${name}="${value}"`);
    return { "WWW-Authenticate": `Bearer ${written.join(", ")}` };
  }
}

function denial(status: Denial["status"], body: Denial["body"], headers: Record<string, string>): Denial {
  return { status, headers: { ...headers, "Cache-Control": "no-store" }, body };
}

function retryAfter(wait: number): Record<string, string> {
  return { "Retry-After": String(Math.max(1, Math.ceil(wait / 1_000))) };
}
