import { createCipheriv, createDecipheriv, randomBytes, scrypt } from "node:crypto";
import { promisify } from "node:util";
import { FormatError } from "./format-error.ts";

const derive = promisify<string, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(scrypt);

const COST = { N: 2 ** 15, r: 8, p: 1 } as const;
/** Bounds for what a file asks for: enough to raise the cost one day, too little to exhaust a machine. */
const LIMITS = { N: [2 ** 14, 2 ** 18], r: [1, 16], p: [1, 4] } as const;
const MAX_MEMORY = 256 * 2 ** 20;
const SALT = /^[A-Za-z0-9_-]{22,86}$/;
const SEALED = /^v1\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]*)$/;
const CHECK_PLACE = ["check"];

/** How the key of a file is derived, as the file says it. */
export interface EncryptionHeader {
  readonly kdf: "scrypt";
  /** base64url. */
  readonly salt: string;
  readonly N: number;
  readonly r: number;
  readonly p: number;
  /** A sealed empty text, which only the right key opens. */
  readonly check: string;
}

/** Encrypts and decrypts single values (AES-256-GCM). A value opens only at the place it was sealed for. */
export interface SecretBox {
  readonly header: EncryptionHeader;
  /** It was made with the key that seals now, and not with an earlier one. */
  readonly current: boolean;
  seal(text: string, place: readonly string[]): string;
  /** @returns undefined for a value of another place or key, and for one that was altered. */
  open(sealed: string, place: readonly string[]): string | undefined;
}

type Cipher = Omit<SecretBox, "header" | "current">;

/** Makes boxes out of the operator's keys. Deriving is slow on purpose, so the last box is kept. */
export class Keyring {
  readonly #keys: readonly [string, ...string[]];
  #last: { readonly id: string; readonly box: Promise<SecretBox | undefined> } | undefined;

  /** @param keys the first one seals, all of them open. */
  constructor(keys: readonly [string, ...string[]]) {
    this.#keys = keys;
  }

  /** A box for a file that has no encrypted values yet, or is sealed anew. */
  async create(): Promise<SecretBox> {
    const salt = randomBytes(16).toString("base64url");
    const { seal, open } = await derived(this.#keys[0], { ...COST, salt });
    const header: EncryptionHeader = { kdf: "scrypt", salt, ...COST, check: seal("", CHECK_PLACE) };
    const box = { header, current: true, seal, open };
    this.#last = { id: identity(header), box: Promise.resolve(box) };
    return box;
  }

  /** The box of a file. @returns undefined when the file was encrypted with none of the keys. */
  unlock(header: EncryptionHeader): Promise<SecretBox | undefined> {
    const id = identity(header);
    if (this.#last?.id !== id) this.#last = { id, box: this.#unlock(header) };
    return this.#last.box;
  }

  async #unlock(header: EncryptionHeader): Promise<SecretBox | undefined> {
    for (const key of this.#keys) {
      const { seal, open } = await derived(key, header);
      if (open(header.check, CHECK_PLACE) !== undefined) return { header, current: key === this.#keys[0], seal, open };
    }
    return undefined;
  }
}

async function derived(secret: string, { salt, N, r, p }: Omit<EncryptionHeader, "kdf" | "check">): Promise<Cipher> {
  const key = await derive(secret, Buffer.from(salt, "base64url"), 32, { N, r, p, maxmem: 2 * MAX_MEMORY });
  return { seal: (text, place) => seal(key, text, place), open: (sealed, place) => open(key, sealed, place) };
}

/** Reads a header from a file, which anybody may have written. @throws FormatError */
export function readHeader(value: unknown): EncryptionHeader {
  if (typeof value !== "object" || value === null) throw new FormatError("encrypted values without `encryption`");
  const { kdf, salt, N, r, p, check } = value as Record<string, unknown>;
  if (kdf !== "scrypt") throw new FormatError("`encryption.kdf` is not scrypt");
  if (typeof salt !== "string" || !SALT.test(salt)) throw new FormatError("`encryption.salt` is not a salt");
  if (typeof check !== "string") throw new FormatError("`encryption.check` is not text");
  const header = { kdf, salt, N: bounded("N", N), r: bounded("r", r), p: bounded("p", p), check } as const;
  if (!Number.isInteger(Math.log2(header.N)) || 128 * header.N * header.r > MAX_MEMORY)
    throw new FormatError("`encryption.N` and `encryption.r` are out of bounds");
  return header;
}

function bounded(name: keyof typeof LIMITS, value: unknown): number {
  const [least, most] = LIMITS[name];
  if (Number.isInteger(value) && Number(value) >= least && Number(value) <= most) return Number(value);
  throw new FormatError(`\`encryption.${name}\` is out of bounds`);
}

function identity({ salt, N, r, p, check }: EncryptionHeader): string {
  return JSON.stringify([salt, N, r, p, check]);
}

function seal(key: Buffer, text: string, place: readonly string[]): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(placeData(place));
  const encrypted = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return ["v1", ...[iv, cipher.getAuthTag(), encrypted].map((bytes) => bytes.toString("base64url"))].join(".");
}

function open(key: Buffer, sealed: string, place: readonly string[]): string | undefined {
  const [, iv, tag, encrypted] = SEALED.exec(sealed) ?? [];
  if (iv === undefined || tag === undefined || encrypted === undefined) return undefined;
  const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(iv, "base64url"), { authTagLength: 16 });
  decipher.setAAD(placeData(place)).setAuthTag(Buffer.from(tag, "base64url"));
  const text = decipher.update(encrypted, "base64url", "utf8");
  try {
    return text + decipher.final("utf8");
  } catch {
    // The tag does not fit: the answer to the question, not a fault.
    return undefined;
  }
}

function placeData(place: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify(["davpool", ...place]));
}
