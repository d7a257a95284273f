import { StoreError } from "@davpool/core";

/** Characters that a key has at least: 32 random bytes have 44 in base64. */
const MIN_LENGTH = 32;
/** Different characters among them. Random hexadecimal digits have 14 on average. */
const MIN_DISTINCT = 8;

export type SecretKeys = readonly [string, ...string[]];

/**
 * The keys in `DAVPOOL_SECRET_KEY`, separated by commas: the first one seals, all of them open.
 * @returns undefined where none is set.
 * @throws StoreError `STORE_KEY_WEAK` when the key that seals could be guessed.
 */
export function readSecretKeys(written: string | undefined): SecretKeys | undefined {
  const [first, ...others] = (written ?? "").split(",").flatMap((key) => (key.trim() === "" ? [] : [key.trim()]));
  if (first === undefined) return undefined;
  const weakness = weaknessOf(first);
  if (weakness !== undefined)
    throw new StoreError(
      "STORE_KEY_WEAK",
      `The first key in DAVPOOL_SECRET_KEY ${weakness}, so it could be guessed. Make a key with "openssl rand -base64 32". To keep what was encrypted with the present key, set DAVPOOL_SECRET_KEY to "<new key>,<present key>" and run "davpool store rekey".`,
    );
  return [first, ...others];
}

function weaknessOf(key: string): string | undefined {
  if (key.length < MIN_LENGTH) return `has ${key.length} characters, fewer than ${MIN_LENGTH}`;
  const distinct = new Set(key).size;
  if (distinct < MIN_DISTINCT) return `has only ${distinct} different characters`;
  // Text that is shorter text repeated is found in its own double before its end.
  return `${key}${key}`.indexOf(key, 1) < key.length ? "is a shorter text repeated" : undefined;
}
