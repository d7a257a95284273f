import { StoreError, systemClock, type Clock } from "@davpool/core";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { writeAtomic } from "./atomic-write.ts";
import { Keyring, readHeader } from "./cipher.ts";
import { onDisk } from "./disk-error.ts";
import { FormatError } from "./format-error.ts";
import { holdsSealed, parseDocument, type JsonObject } from "./format.ts";
import { LOCK_LIMIT, withLock } from "./lock.ts";
import { readSecretKeys } from "./secret-keys.ts";
import { resealed } from "./section-codec.ts";
import { targetOf } from "./target.ts";

export interface RekeyInit {
  /** Absolute path. */
  readonly file: string;
  /** `DAVPOOL_SECRET_KEY`: the new key, a comma, and the key that the file has. */
  readonly secretKey: string | undefined;
  readonly clock?: Clock;
}

/**
 * Encrypts every secret in a store file anew, with the first of the keys.
 * @returns false where nothing is encrypted.
 * @throws StoreError, before anything is changed.
 */
export async function rekey({ file, secretKey, clock = systemClock }: RekeyInit): Promise<boolean> {
  const keys = readSecretKeys(secretKey);
  if (!keys)
    throw new StoreError(
      "STORE_KEY_MISSING",
      'DAVPOOL_SECRET_KEY is not set. Set it to the new key, a comma, and the key that the file has: "<new key>,<present key>". Make a key with "openssl rand -base64 32".',
      { details: { file } },
    );
  const target = targetOf(file);
  if (!existsSync(target)) return false;
  return onDisk(file, "written", async () => {
    return withLock(`${target}.lock`, { clock, random: Math.random, limit: LOCK_LIMIT }, async () => {
      const document = readDocument(await readFile(target, "utf8"), file);
      if (!holdsSealed(document)) return false;
      const keyring = new Keyring(keys);
      const box = await keyring.unlock(readHeader(document.encryption));
      if (!box)
        throw new StoreError(
          "STORE_KEY_WRONG",
          `The store file ${file} was encrypted with none of the keys in DAVPOOL_SECRET_KEY. It was left as it is. Set DAVPOOL_SECRET_KEY to the new key, a comma, and the key that the file was written with.`,
          { details: { file } },
        );
      const anew = resealed(document, box, await keyring.create(), file);
      await writeAtomic(target, `${JSON.stringify(anew, undefined, 2)}\n`, true);
      return true;
    });
  });
}

function readDocument(text: string, file: string): JsonObject {
  try {
    return parseDocument(text, file);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new StoreError("STORE_CORRUPT", `The store file ${file} is damaged (${error.message}). Repair it first.`, {
      cause: error,
      details: { file },
    });
  }
}
