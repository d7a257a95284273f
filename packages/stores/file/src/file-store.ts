import {
  StoreError,
  describeError,
  type Clock,
  type Log,
  type ProfileStore,
  type StoredHealth,
  type StoredState,
} from "@davpool/core";
import { access, readFile, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { makeFolder, removeLeftovers, writeAtomic } from "./atomic-write.ts";
import { Keyring } from "./cipher.ts";
import { errorCode, onDisk } from "./disk-error.ts";
import { FormatError } from "./format-error.ts";
import { parseDocument, readSection, sectionOf, type JsonObject, type Owner } from "./format.ts";
import { parseHealthDocument, readHealth, writeHealth } from "./health-format.ts";
import { LOCK_LIMIT, withLock } from "./lock.ts";
import { readSecretKeys } from "./secret-keys.ts";
import { SectionCodec } from "./section-codec.ts";
import { targetOf } from "./target.ts";
import { watchFile } from "./watch.ts";

export interface FileStoreInit extends Owner {
  /** Absolute path. */
  readonly file: string;
  /** `DAVPOOL_SECRET_KEY`: a key, or several with commas, of which the first seals and all open. Without it, nothing secret can be saved or read. */
  readonly secretKey?: string | undefined;
  /** Profile fields that are secret although somebody wrote them into the file in clear. */
  readonly secretFields: readonly string[];
  /** Where the secrets of a profile are sent: sealed for one place, they are not used for another. Default: anywhere. */
  readonly secretsOrigin?: ((profile: JsonObject) => string | undefined) | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/**
 * Keeps the state of one pool in a JSON file that other pools and other processes use as well.
 *
 * Reading takes no lock, because a file is only ever replaced as a whole. Each change takes the lock, reads, changes
 * and writes.
 */
export class FileStore implements ProfileStore {
  readonly #init: FileStoreInit;
  readonly #codec: SectionCodec;
  readonly #watches = new Map<Disposable, (state: StoredState) => void>();
  #turn: Promise<unknown> = Promise.resolve();
  /** What this store last read or wrote, to tell the changes of others from its own. */
  #known = fingerprint({ activeServerId: undefined, servers: [] });
  #tidy = false;
  #toldOfReaders = false;

  /** @throws StoreError `STORE_KEY_WEAK` */
  constructor(init: FileStoreInit) {
    const { file, secretKey, secretFields, secretsOrigin = () => undefined, log } = init;
    this.#init = init;
    const keys = readSecretKeys(secretKey);
    const keyring = keys && new Keyring(keys);
    this.#codec = new SectionCodec({ file, owner: init, keyring, secretFields, secretsOrigin, log });
  }

  load(): Promise<StoredState> {
    return this.#inTurn(async () => {
      let document: JsonObject;
      try {
        document = await this.#read();
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        document = await this.#locked(() => this.#readOrSetAside());
      }
      await this.#tellOfReaders();
      this.#tellOfOthers(document);
      const state = await this.#codec.decode(document);
      this.#known = fingerprint(state);
      return state;
    });
  }

  update(change: (state: StoredState) => StoredState): Promise<StoredState> {
    return this.#inTurn(() =>
      this.#locked(async (file) => {
        const document = await this.#readOrSetAside();
        const found = await this.#codec.decode(document);
        const state = change(found);
        await this.#write(file, await this.#codec.encode(document, state), true);
        const overtaken = fingerprint(found) !== this.#known;
        this.#known = fingerprint(state);
        // Others changed the file a moment ago: their news would otherwise be taken for this store's own.
        if (overtaken) this.#tell(state);
        return state;
      }),
    );
  }

  /** Never rejects: health that cannot be read is health that is not known. */
  async loadHealth(): Promise<StoredHealth> {
    return readHealth(await this.#readHealth(), this.#init);
  }

  updateHealth(change: (state: StoredHealth) => StoredHealth): Promise<void> {
    return this.#inTurn(() =>
      this.#locked(async (file) => {
        const document = await this.#readHealth();
        const health = change(readHealth(document, this.#init));
        await this.#write(healthFile(file), writeHealth(document, this.#init, health), false);
      }),
    );
  }

  /** Errors while watching are logged; a file that cannot be read just then changes nothing. */
  watch(changed: (state: StoredState) => void): Disposable {
    const { clock, log } = this.#init;
    const watcher = watchFile(this.#target(), clock, log, () => void this.#inTurn(() => this.#look()));
    const watching: Disposable = {
      [Symbol.dispose]: () => {
        this.#watches.delete(watching);
        watcher[Symbol.dispose]();
      },
    };
    this.#watches.set(watching, changed);
    return watching;
  }

  /** Ends watching and waits for what is being written. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const watching of this.#watches.keys()) watching[Symbol.dispose]();
    await this.#turn;
  }

  /** One after the other, so that a store never waits for a lock of its own; one that fails does not stop the next. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** @param work is given the file that the configured path leads to, so that a symbolic link stays one. */
  async #locked<T>(work: (file: string) => Promise<T>): Promise<T> {
    const { file, clock, random } = this.#init;
    return onDisk(file, "written", async () => {
      await makeFolder(dirname(file));
      const target = this.#target();
      return withLock(`${target}.lock`, { clock, random, limit: LOCK_LIMIT }, async () => {
        if (!this.#tidy) {
          await removeLeftovers(target);
          await removeLeftovers(healthFile(target));
          this.#tidy = true;
        }
        return work(target);
      });
    });
  }

  #target(): string {
    return targetOf(this.#init.file);
  }

  /** @throws FormatError, StoreError */
  async #read(): Promise<JsonObject> {
    const { file } = this.#init;
    const text = await onDisk(file, "read", () => readIfThere(file));
    return text === undefined ? {} : parseDocument(text, file);
  }

  /** Only under the lock: what was read before may have been a change in progress by somebody without one. */
  async #readOrSetAside(): Promise<JsonObject> {
    try {
      return await this.#read();
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      await this.#setAside(error);
      return {};
    }
  }

  async #setAside(error: FormatError): Promise<void> {
    const { file, clock, log } = this.#init;
    try {
      const target = this.#target();
      const stamp = clock.wall().toISOString().replaceAll(":", "");
      let aside = `${target}.corrupt-${stamp}`;
      for (let more = 2; await exists(aside); more++) aside = `${target}.corrupt-${stamp}-${String(more)}`;
      await rename(target, aside);
      log.error(
        `The store file ${file} is damaged (${error.message}). It is kept as ${aside}, and davpool goes on without its servers. Repair that file and move it back, or add the servers again.`,
        { file, aside },
      );
    } catch (cause) {
      throw new StoreError(
        "STORE_CORRUPT",
        `The store file ${file} is damaged (${error.message}), and it cannot be set aside (${errorCode(cause) ?? describeError(cause)}). Repair it or move it away.`,
        { cause, details: { file } },
      );
    }
  }

  async #readHealth(): Promise<JsonObject> {
    const { log } = this.#init;
    let file = healthFile(this.#init.file);
    try {
      file = healthFile(this.#target());
      const text = await readIfThere(file);
      return text === undefined ? {} : parseHealthDocument(text);
    } catch (error) {
      log.warn(`The health file ${file} is ignored and will be replaced: ${describeError(error)}.`, { file });
      return {};
    }
  }

  #write(file: string, document: JsonObject, durable: boolean): Promise<void> {
    return onDisk(this.#init.file, "written", () =>
      writeAtomic(file, `${JSON.stringify(document, undefined, 2)}\n`, durable),
    );
  }

  async #look(): Promise<void> {
    const { file, log } = this.#init;
    try {
      const state = await this.#codec.decode(await this.#read());
      const known = fingerprint(state);
      if (known === this.#known) return;
      this.#known = known;
      this.#tell(state);
    } catch (error) {
      log.error(`A change of the store file ${file} is left alone for now: ${describeError(error)}`, { file });
    }
  }

  /** Once: who else may read the passwords, or the addresses. The next change makes the file private. */
  async #tellOfReaders(): Promise<void> {
    const { file, log } = this.#init;
    if (this.#toldOfReaders || process.platform === "win32") return;
    const mode = await stat(file).then(
      (found) => found.mode & 0o777,
      () => 0,
    );
    if ((mode & 0o077) === 0) return;
    this.#toldOfReaders = true;
    log.warn(
      `The store file ${file} is open to other users of this machine (mode ${mode.toString(8)}). Run: chmod 600 ${file}`,
      { file },
    );
  }

  /** Servers that are in the file, and in no pool: whoever looks for them is told where they are. */
  #tellOfOthers(document: JsonObject): void {
    const { file, pool, primary, log } = this.#init;
    const owner = typeof document.pool === "string" ? document.pool : undefined;
    const section = sectionOf(document, this.#init);
    const above = readSection(document, "").entries.length;
    if (section === "" && readSection(document, pool).entries.length > 0)
      log.warn(
        `The store file ${file} has servers of the pool "${pool}" at its top level, which are used, and in its section "pools.${pool}", which are not. Move those up.`,
        { file },
      );
    else if (primary && section !== "" && above > 0)
      log.info(
        owner === undefined
          ? `The servers at the top level of the store file ${file} belong to no pool. Write the name of theirs into the file as "pool".`
          : `The servers at the top level of the store file ${file} belong to the pool "${owner}", and not to "${pool}". If that is its name now, write it into the file as "pool".`,
        { file },
      );
  }

  #tell(state: StoredState): void {
    for (const changed of this.#watches.values()) changed(state);
  }
}

/** Where health and counters of a store file are kept. */
function healthFile(file: string): string {
  return `${file.replace(/\.json$/, "")}.health.json`;
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch {
    return false;
  }
}

function fingerprint({ activeServerId, servers, overrides = {} }: StoredState): string {
  return JSON.stringify([
    activeServerId ?? null,
    overrides,
    servers.map(({ serverId, profile, secrets }) => [serverId, profile, secrets]),
  ]);
}
