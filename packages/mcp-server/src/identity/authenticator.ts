import { isDeepStrictEqual } from "node:util";
import type { Clock, Log } from "@davpool/core";
import { accessOf, memberAccess } from "./access.ts";
import { bearerToken } from "./bearer.ts";
import { clientKey } from "./client-address.ts";
import { Denials, REFUSALS, type Denial, type Refusal } from "./denial.ts";
import { FAILURE_PAUSE } from "./issuer-keys.ts";
import { JwtVerifier, type Verdict } from "./jwt-verifier.ts";
import type { Principal } from "./principal.ts";
import { supportedScopes } from "./protected-resource.ts";
import { RateLimiter } from "./rate-limiter.ts";
import type { IdentitySettings } from "./settings.ts";
import { hashToken } from "./token-hash.ts";
import { VerifiedTokens, expired, type Verified } from "./verified-tokens.ts";

/** What is read of a request's headers. */
export interface RequestHeaders {
  readonly authorization?: string | undefined;
}

export interface RequestContext {
  /** The client's network address: of the connection, or what a proxy that is trusted says. */
  readonly address: string | undefined;
  /**
   * The address of the endpoint, such as `https://files.example.com/mcp`. Tokens are issued for it, so it comes from
   * the configuration or from a `Host` header that was checked, and never from one that was not.
   */
  readonly resource: string;
}

/** How principals came in, for as long as somebody keeps them. */
interface Admission {
  /** Of the token. */
  readonly digest: string;
  /** As the token has them. */
  readonly scopes: readonly string[];
  /** It was made by the issuer. */
  readonly issued: boolean;
}

const admissions = new WeakMap<Principal, Admission>();

/**
 * Finds out who makes a request. A token that was good lately is known by its hash; others are looked up in the static
 * list, and then checked as a JWT of the issuer.
 */
export class Authenticator {
  readonly #settings: IdentitySettings;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #denials: Denials;
  readonly #verified: VerifiedTokens;
  readonly #failures: RateLimiter;
  readonly #requests: RateLimiter | undefined;
  readonly #jwt: JwtVerifier | undefined;

  constructor(settings: IdentitySettings, parts: { readonly clock: Clock; readonly log: Log }) {
    const { rateLimit, failureLimit, oauth } = settings;
    this.#settings = settings;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#denials = new Denials(settings);
    this.#verified = new VerifiedTokens(parts.clock);
    this.#failures = new RateLimiter(failureLimit, parts.clock);
    this.#requests = rateLimit && new RateLimiter(rateLimit, parts.clock);
    this.#jwt = oauth && new JwtVerifier(oauth, parts);
  }

  /** Who it is, or how to answer. Rejects only when `resource` is no web address. */
  async authenticate(headers: RequestHeaders, context: RequestContext): Promise<Principal | Denial> {
    const bearer = bearerToken(headers.authorization);
    if (bearer === undefined) return this.#denials.noToken(context.resource);
    if (bearer === "malformed") return this.#waiting(context) ?? this.#refuse("malformed", context);
    const audience = this.#settings.oauth?.audience ?? context.resource;
    const digest = hashToken(bearer.token);
    const key = `${digest} ${audience}`;
    const known = this.#verified.find(key);
    // Before failures are looked at: one broken client must not lock out everybody behind the same address.
    if (known) return this.#admit(known, context.resource);

    const waiting = this.#waiting(context);
    if (waiting) return waiting;
    const listed = this.#staticToken(digest);
    const verdict = listed ?? (await this.#issued(bearer.token, audience));
    if ("unavailable" in verdict) return this.#denials.issuerUnavailable(FAILURE_PAUSE);
    if ("refused" in verdict) return this.#refuse(verdict.refused, context);
    const verified = this.#toVerified(verdict);
    this.#verified.keep(key, verified);
    admissions.set(verified.principal, { digest, scopes: verdict.scopes, issued: listed === undefined });
    if (verified.lacking)
      this.#log.info("A principal's token lacks a scope that is needed; its requests are answered 403.", {
        address: context.address,
        principal: verified.principal.name,
        needed: verified.lacking,
      });
    return this.#admit(verified, context.resource);
  }

  /** Counts further requests that came as one. @returns how to answer where they are too many. */
  charge({ name }: Principal, count: number): Denial | undefined {
    const wait = this.#requests?.take(name, count) ?? 0;
    return wait > 0 ? this.#denials.tooManyRequests(wait) : undefined;
  }

  /**
   * Whether somebody who was admitted with other settings would be admitted with these, and could do the same.
   * @param former the settings that it was admitted with.
   */
  stillAdmits(principal: Principal, former: IdentitySettings): boolean {
    const { tokens, oauth, scopes } = this.#settings;
    const admission = admissions.get(principal);
    if (!admission || !isDeepStrictEqual(scopes, former.scopes)) return false;
    // The token itself is not kept, so it cannot be checked again.
    if (admission.issued) return isDeepStrictEqual(oauth, former.oauth);
    const found = tokens.get(admission.digest);
    return (
      found?.principal === principal.name &&
      isDeepStrictEqual(found.scopes, admission.scopes) &&
      !expired(found, this.#clock)
    );
  }

  /** Whether anybody of this name could be admitted. */
  knows(name: string): boolean {
    const { tokens, oauth } = this.#settings;
    return (
      (oauth !== undefined && name.startsWith(`${oauth.issuer}#`)) ||
      [...tokens.values()].some(({ principal }) => principal === name)
    );
  }

  #staticToken(digest: string): Judged | undefined {
    const found = this.#settings.tokens.get(digest);
    if (!found) return undefined;
    if (expired(found, this.#clock)) return { refused: "expired" };
    const { principal, scopes, expiresAt } = found;
    return { name: principal, scopes, required: [], ...(expiresAt !== undefined && { expiresAt }) };
  }

  async #issued(token: string, audience: string): Promise<Judged> {
    if (!this.#jwt) return { refused: "unknown" };
    const verdict: Verdict = await this.#jwt.verify(token, audience);
    return "name" in verdict ? { ...verdict, required: this.#settings.oauth?.requiredScopes ?? [] } : verdict;
  }

  #toVerified({ name, scopes, required, expiresAt }: Identified): Verified {
    const { scopes: map } = this.#settings;
    const grants = scopes.flatMap((scope) => map?.get(scope) ?? []);
    const principal: Principal = {
      name,
      access: map ? accessOf(grants) : memberAccess,
      ...(expiresAt !== undefined && { expiresAt }),
    };
    if (required.some((scope) => !scopes.includes(scope))) return { principal, lacking: required };
    return map && grants.length === 0 ? { principal, lacking: supportedScopes(this.#settings) } : { principal };
  }

  #admit({ principal, lacking }: Verified, resource: string): Principal | Denial {
    const wait = this.#requests?.take(principal.name) ?? 0;
    if (wait > 0) return this.#denials.tooManyRequests(wait);
    return lacking ? this.#denials.insufficientScope(resource, lacking) : principal;
  }

  #waiting({ address }: RequestContext): Denial | undefined {
    const wait = this.#failures.wait(clientKey(address));
    return wait > 0 ? this.#denials.tooManyFailures(wait) : undefined;
  }

  #refuse(refusal: Refusal, { address, resource }: RequestContext): Denial {
    const client = clientKey(address);
    this.#failures.count(client);
    this.#log.info(`A request was refused: ${REFUSALS[refusal]}`, { address, reason: refusal });
    if (this.#failures.wait(client) > 0)
      this.#log.warn("Many tokens from one address were refused; new ones from there have to wait.", { client });
    return this.#denials.invalidToken(resource, refusal);
  }
}

interface Identified {
  readonly name: string;
  readonly scopes: readonly string[];
  /** Scopes that it must have, all of them. */
  readonly required: readonly string[];
  readonly expiresAt?: number;
}

type Judged = Identified | Exclude<Verdict, { readonly name: string }>;
