import type { Clock, Log } from "@davpool/core";
import { errors, jwtVerify, type JWTPayload, type JWTVerifyOptions } from "jose";
import type { Refusal } from "./denial.ts";
import { IssuerKeys, KeysUnavailableError } from "./issuer-keys.ts";
import type { OAuthSettings } from "./settings.ts";

/** What a token of the issuer says, or why it says nothing. */
export type Verdict =
  | { readonly name: string; readonly scopes: readonly string[]; readonly expiresAt: number }
  | { readonly refused: Refusal }
  | { readonly unavailable: true };

const LONGEST_SUBJECT = 256;
/** Controls, invisible marks that change how text reads, line ends, halves of characters: nothing that a name needs. */
const UNFIT = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Checks access tokens of one issuer: JWTs, with the keys that it publishes. */
export class JwtVerifier {
  readonly #settings: OAuthSettings;
  readonly #clock: Clock;
  readonly #keys: IssuerKeys;

  constructor(settings: OAuthSettings, parts: { readonly clock: Clock; readonly log: Log }) {
    this.#settings = settings;
    this.#clock = parts.clock;
    this.#keys = new IssuerKeys(settings, parts);
  }

  async verify(token: string, audience: string): Promise<Verdict> {
    const { issuer, algorithms, clockTolerance } = this.#settings;
    try {
      const payload = await this.#payload(token, {
        issuer,
        audience,
        algorithms: [...algorithms],
        requiredClaims: ["exp"],
        clockTolerance: clockTolerance / 1_000,
        currentDate: this.#clock.wall(),
      });
      return this.#read(payload);
    } catch (error) {
      return error instanceof KeysUnavailableError ? { unavailable: true } : { refused: refusalOf(error) };
    }
  }

  async #payload(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    try {
      return (await jwtVerify(token, this.#keys.find, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      // A token that names no key, from an issuer that has several: it may be any of them.
      for await (const key of error) {
        try {
          return (await jwtVerify(token, key, options)).payload;
        } catch (failed) {
          if (!(failed instanceof errors.JWSSignatureVerificationFailed)) throw failed;
        }
      }
      throw new errors.JWSSignatureVerificationFailed();
    }
  }

  #read(payload: JWTPayload): Verdict {
    const { issuer, principalClaim, clockTolerance } = this.#settings;
    const subject = Object.hasOwn(payload, principalClaim) ? payload[principalClaim] : undefined;
    // Refused and not cleaned: two different subjects must never become one.
    if (typeof subject !== "string" || subject === "" || subject.length > LONGEST_SUBJECT || UNFIT.test(subject))
      return { refused: "claims" };
    const expiresAt = Number(payload.exp) * 1_000 + clockTolerance;
    return { name: `${issuer}#${subject}`, scopes: this.#scopes(payload), expiresAt };
  }

  #scopes(payload: JWTPayload): readonly string[] {
    const { scopeClaim } = this.#settings;
    const value = payload[scopeClaim] ?? (scopeClaim === "scope" ? payload.scp : undefined);
    if (typeof value === "string") return value.split(" ").filter((scope) => scope !== "");
    return Array.isArray(value) ? value.filter((scope) => typeof scope === "string") : [];
  }
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof errors.JWTExpired) return "expired";
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === "nbf" && error.reason === "check_failed") return "not-yet-valid";
    if (error.claim === "aud") return "audience";
    return error.claim === "iss" ? "issuer" : "claims";
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return "algorithm";
  if (error instanceof errors.JWKSNoMatchingKey) return "key";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "signature";
  return "no-jwt";
}
