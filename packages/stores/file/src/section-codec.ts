import { StoreError, type Log, type StoredServer, type StoredState } from "@davpool/core";
import { readHeader, type Keyring, type SecretBox } from "./cipher.ts";
import {
  holdsSealed,
  isSealed,
  mapSealed,
  readSection,
  sectionOf,
  writeSection,
  type Entry,
  type JsonObject,
  type Owner,
  type Section,
} from "./format.ts";
import { openSecret, sealSecret } from "./sealed-secret.ts";

export interface SectionCodecParts {
  /** Named in errors. */
  readonly file: string;
  readonly owner: Owner;
  /** Undefined when there is no `DAVPOOL_SECRET_KEY`. */
  readonly keyring: Keyring | undefined;
  /** Profile fields that are never written in clear. */
  readonly secretFields: readonly string[];
  /** Where the secrets of a profile are sent; undefined for anywhere. */
  readonly secretsOrigin: (profile: JsonObject) => string | undefined;
  readonly log: Log;
}

/** Turns one pool's section of a file into its state, and back: secrets are opened on the way in, sealed on the way out. */
export class SectionCodec {
  readonly #parts: SectionCodecParts;
  readonly #warned = new Set<string>();

  constructor(parts: SectionCodecParts) {
    this.#parts = parts;
  }

  /** @throws StoreError `STORE_KEY_MISSING` or `STORE_KEY_WRONG` */
  async decode(document: JsonObject): Promise<StoredState> {
    const name = sectionOf(document, this.#parts.owner);
    const { activeServerId, entries, overrides } = readSection(document, name);
    const sealed = entries.filter(isSealed);
    const box = sealed.length > 0 ? await this.#unlock(document, sealed) : undefined;
    return {
      activeServerId,
      servers: entries.map((entry) => this.#open(entry, name, box)),
      ...(Object.keys(overrides).length > 0 && { overrides }),
    };
  }

  /** @throws StoreError `STORE_KEY_MISSING` or `STORE_KEY_WRONG`, before anything is lost. */
  async encode(found: JsonObject, state: StoredState): Promise<JsonObject> {
    const { owner, keyring, file } = this.#parts;
    const secret = state.servers.find((server) => Object.keys(server.secrets).length > 0);
    let box = secret && (await this.#boxFor(found, secret));
    let document = found;
    if (box && !box.current && keyring) {
      const former = box;
      box = await keyring.create();
      document = resealed(found, former, box, file);
    }
    const name = sectionOf(document, owner);
    const section: Section = {
      activeServerId: state.activeServerId,
      entries: state.servers.map((server) => this.#seal(server, name, box)),
      overrides: state.overrides ?? {},
    };
    const { encryption, ...rest } = writeSection(document, owner, section);
    // Without encrypted values the salt means nothing, and the next key may be another one.
    if (!holdsSealed(rest)) return rest;
    const { version, ...others } = rest;
    return { version, encryption: box?.header ?? encryption, ...others };
  }

  async #unlock(document: JsonObject, entries: readonly Entry[]): Promise<SecretBox> {
    const { file, keyring } = this.#parts;
    const serverIds = entries.map((entry) => entry.serverId);
    if (!keyring) {
      throw new StoreError(
        "STORE_KEY_MISSING",
        `The store file ${file} holds encrypted fields (servers: ${serverIds.join(", ")}), and DAVPOOL_SECRET_KEY is not set. Set it to the key that the file was written with. If that key is lost, move the file away and add the servers again.`,
        { details: { file, serverIds } },
      );
    }
    const box = await keyring.unlock(readHeader(document.encryption));
    if (!box) throw this.#wrongKey(`Servers: ${serverIds.join(", ")}.`, { serverIds });
    return box;
  }

  /** The box that the file has or, if it holds no encrypted value of any pool, a new one. */
  async #boxFor(document: JsonObject, { serverId, secrets }: StoredServer): Promise<SecretBox> {
    const { file, keyring } = this.#parts;
    if (!keyring) {
      throw new StoreError(
        "STORE_KEY_MISSING",
        `Nothing was saved: ${Object.keys(secrets).join(", ")} of server "${serverId}" would have to be encrypted in ${file}, and DAVPOOL_SECRET_KEY is not set. Make a key with "openssl rand -base64 32", set DAVPOOL_SECRET_KEY to it for every process that uses this file, keep a copy in a safe place, and try again.`,
        { details: { file, serverId } },
      );
    }
    if (!holdsSealed(document)) return keyring.create();
    const box = await keyring.unlock(readHeader(document.encryption));
    if (!box) throw this.#wrongKey(`Server "${serverId}" was not saved.`, { serverId });
    return box;
  }

  #wrongKey(who: string, details: Readonly<Record<string, unknown>>): StoreError {
    const { file } = this.#parts;
    return new StoreError(
      "STORE_KEY_WRONG",
      `The store file ${file} was encrypted with another key than DAVPOOL_SECRET_KEY has now. ${who} The file was left as it is. Set the key that it was written with; if that is lost, move the file away and add the servers again.`,
      { details: { file, ...details } },
    );
  }

  #open(entry: Entry, section: string, box: SecretBox | undefined): StoredServer {
    const { serverId, sealed } = entry;
    const { file, secretsOrigin, log } = this.#parts;
    const { profile, secrets: clear } = this.#takeClear(entry);
    const origin = secretsOrigin({ serverId, ...profile });
    const opened = Object.entries(sealed).flatMap(([name, value]): [string, string][] => {
      const secret = box && openSecret(box, value, [section, serverId, name]);
      if (!secret) throw unopened(file, serverId, name);
      if (secret.origin === undefined || secret.origin === (origin ?? null)) return [[name, secret.text]];
      log.error(
        `In the store file ${file}, the address of server "${serverId}" was changed, and its ${name} was saved for another one. It is not used. Give it again with dav_update_server.`,
        { file, serverId, field: name },
      );
      return [];
    });
    return { serverId, profile, secrets: { ...clear, ...Object.fromEntries(opened) } };
  }

  /** A person may have written a password into the file by hand: it is a secret all the same. */
  #takeClear({ serverId, profile }: Entry): { profile: JsonObject; secrets: Record<string, string> } {
    const { file, keyring, log, secretFields } = this.#parts;
    const names = secretFields.filter((name) => Object.hasOwn(profile, name) && typeof profile[name] === "string");
    if (names.length === 0) return { profile, secrets: {} };
    if (!this.#warned.has(serverId)) {
      this.#warned.add(serverId);
      log.warn(
        `The store file ${file} holds the ${names.join(", ")} of server "${serverId}" in clear. ${keyring ? "The next change to the file encrypts it." : "Set DAVPOOL_SECRET_KEY, and the next change to the file encrypts it."}`,
        { file, serverId },
      );
    }
    return {
      profile: Object.fromEntries(Object.entries(profile).filter(([name]) => !names.includes(name))),
      secrets: Object.fromEntries(names.map((name) => [name, String(profile[name])])),
    };
  }

  #seal({ serverId, profile, secrets }: StoredServer, section: string, box: SecretBox | undefined): Entry {
    const origin = this.#parts.secretsOrigin({ serverId, ...profile });
    const sealed = Object.entries(secrets).flatMap(([name, text]) =>
      box ? [[name, sealSecret(box, { text, origin }, [section, serverId, name])] as const] : [],
    );
    return { serverId, profile, sealed: Object.fromEntries(sealed) };
  }
}

/** The document with every sealed value sealed anew. @throws StoreError `STORE_KEY_WRONG` for one that does not open. */
export function resealed(document: JsonObject, from: SecretBox, to: SecretBox, file: string): JsonObject {
  const sealed = mapSealed(document, (value, place) => {
    const secret = openSecret(from, value, place);
    if (!secret) throw unopened(file, place[1], place[2]);
    // What was not bound to an origin is bound with the next change, by whoever knows it.
    return secret.origin === undefined ? to.seal(secret.text, place) : sealSecret(to, secret, place);
  });
  return { ...sealed, encryption: to.header };
}

function unopened(file: string, serverId: string, field: string): StoreError {
  return new StoreError(
    "STORE_KEY_WRONG",
    `In the store file ${file}, the encrypted ${field} of server "${serverId}" does not open with DAVPOOL_SECRET_KEY: it was altered, or copied from elsewhere. The file was left as it is. Restore it from a copy, or take this server out of it and add it again.`,
    { details: { file, serverId, field } },
  );
}
