import { createHash, randomBytes } from "node:crypto";

const PREFIX = "sha256:";
const DIGEST_BYTES = 32;

/** A token as it is handed to its owner, and its hash as it is written into the configuration. */
export interface CreatedToken {
  readonly token: string;
  readonly hash: string;
}

/**
 * Makes a token of 256 random bits. Its prefix lets people and scanners for leaked secrets know one when they see it.
 */
export function createToken(): CreatedToken {
  const token = `dvp_${randomBytes(DIGEST_BYTES).toString("base64url")}`;
  return { token, hash: PREFIX + createHash("sha256").update(token).digest("base64url") };
}

/**
 * The SHA-256 of a token, in hex; tokens are looked up by it, so that no comparison takes longer the more of a token
 * is right.
 *
 * A fast hash is enough because tokens are random, with 128 bits or more: there is nothing to try out. Slow hashes
 * protect passwords that people choose, and those must not be used here.
 */
export function hashToken(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

/** The hex digest of a hash as it is written in the configuration; undefined when it is none. */
export function parseHash(written: unknown): string | undefined {
  if (typeof written !== "string" || !written.startsWith(PREFIX)) return undefined;
  const digest = written.slice(PREFIX.length);
  if (/^[0-9a-f]{64}$/i.test(digest)) return digest.toLowerCase();
  return /^[\w-]{43}=?$/.test(digest) ? Buffer.from(digest, "base64url").toString("hex") : undefined;
}
