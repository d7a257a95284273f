import { StoreError, type Log, type StoredServer, type StoredState } from "@davpool/core";
import { readHeader, type Keyring, type SecretBox } from "./cipher.ts";
import {
  holdsSealed,
  isSealed,
  readSection,
  sectionOf,
  writeSection,
  type Entry,
  type JsonObject,
  type Owner,
  type Section,
} from "./format.ts";

export interface SectionCodecParts {
  /** Named in errors. */
  readonly file: string;
  readonly owner: Owner;
  /** Undefined when there is no `DAVPOOL_SECRET_KEY`. */
  readonly keyring: Keyring | undefined;
  /** Profile fields that are never written in clear. */
  readonly secretFields: readonly string[];
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
    const { activeServerId, entries } = readSection(document, name);
    const sealed = entries.filter(isSealed);
    const box = sealed.length > 0 ? await this.#unlock(document, sealed) : undefined;
    return { activeServerId, servers: entries.map((entry) => this.#open(entry, name, box)) };
  }

  /** @throws StoreError `STORE_KEY_MISSING` or `STORE_KEY_WRONG`, before anything is lost. */
  async encode(document: JsonObject, state: StoredState): Promise<JsonObject> {
    const { owner } = this.#parts;
    const name = sectionOf(document, owner);
    const secret = state.servers.find((server) => Object.keys(server.secrets).length > 0);
    const box = secret && (await this.#boxFor(document, secret));
    const section: Section = {
      activeServerId: state.activeServerId,
      entries: state.servers.map((server) => this.#seal(server, name, box)),
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
    const { file } = this.#parts;
    const { profile, secrets: clear } = this.#takeClear(entry);
    const opened = Object.entries(sealed).map(([name, value]): [string, string] => {
      const text = box?.open(value, [section, serverId, name]);
      if (text !== undefined) return [name, text];
      throw new StoreError(
        "STORE_KEY_WRONG",
        `In the store file ${file}, the encrypted ${name} of server "${serverId}" does not open with DAVPOOL_SECRET_KEY: it was altered, or copied from elsewhere. The file was left as it is. Restore it from a copy, or take this server out of it and add it again.`,
        { details: { file, serverId, field: name } },
      );
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
    const sealed = Object.entries(secrets).flatMap(([name, text]) =>
      box ? [[name, box.seal(text, [section, serverId, name])] as const] : [],
    );
    return { serverId, profile, sealed: Object.fromEntries(sealed) };
  }
}
