import { StoreError, type EnabledOverride } from "@davpool/core";
import { readHeader } from "./cipher.ts";
import { FormatError } from "./format-error.ts";

/** Version of the file format that this package writes. A file without a version is of version 1. */
export const FORMAT_VERSION = 1;

const SUFFIX = "Encrypted";

export type JsonObject = Readonly<Record<string, unknown>>;

/** One server as it lies in the file: secrets still sealed. */
export interface Entry {
  readonly serverId: string;
  readonly profile: JsonObject;
  /** Sealed values by the name of the secret, such as `password`. */
  readonly sealed: Readonly<Record<string, string>>;
}

/** What one pool has in the file. */
export interface Section {
  readonly activeServerId: string | undefined;
  readonly entries: readonly Entry[];
  readonly overrides: Readonly<Record<string, EnabledOverride>>;
}

/**
 * Reads a whole file and checks the shape of everything a store will look at.
 * @throws FormatError for what no store wrote.
 * @throws StoreError `STORE_VERSION` for what a later one wrote.
 */
export function parseDocument(text: string, file: string): JsonObject {
  const document = object(parseJson(text), "the content");
  const { version = FORMAT_VERSION } = document;
  if (typeof version !== "number" || !Number.isInteger(version) || version < 1)
    throw new FormatError("`version` is not a version");
  if (version > FORMAT_VERSION) {
    throw new StoreError(
      "STORE_VERSION",
      `The store file ${file} has version ${String(version)}, and this davpool reads up to version ${String(FORMAT_VERSION)}. It was left as it is. Upgrade davpool, or set DAV_SERVERS_FILE, or the store's option \`path\`, to another file.`,
      { details: { file, version } },
    );
  }
  if (document.pool !== undefined && typeof document.pool !== "string") throw new FormatError("`pool` is not text");
  if (holdsSealed(document)) readHeader(document.encryption);
  return document;
}

/** @throws FormatError */
export function parseJson(text: string): unknown {
  try {
    // Some editors begin a file with a byte order mark, which JSON does not know.
    return JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch {
    // The parser's own message quotes the text, which may hold a secret.
    throw new FormatError("it is not JSON, or it is cut off");
  }
}

/** Whose section is meant. */
export interface Owner {
  readonly pool: string;
  /** It is the first pool of the configuration. */
  readonly primary: boolean;
}

/**
 * The name of a pool's section under `pools`; empty for the one at the top level. That belongs to the pool that is named
 * there, whatever comes first in the configuration by now, or, while none is, to the first.
 */
export function sectionOf(document: JsonObject, { pool, primary }: Owner): string {
  const named = document.pool;
  const owned = named === undefined ? primary && !Object.hasOwn(pools(document), pool) : named === pool;
  return owned ? "" : pool;
}

/** @param name as {@link sectionOf} tells it. */
export function readSection(document: JsonObject, name: string): Section {
  const where = name === "" ? "" : `pools.${name}.`;
  const source = sectionSource(document, name);
  const { activeServerId = null, servers = [], overrides = {} } = source;
  if (activeServerId !== null && typeof activeServerId !== "string")
    throw new FormatError(`\`${where}activeServerId\` is not text`);
  if (!Array.isArray(servers)) throw new FormatError(`\`${where}servers\` is not a list`);
  return {
    activeServerId: activeServerId ?? undefined,
    entries: servers.map((server: unknown, index) => readEntry(server, `\`${where}servers[${String(index)}]\``)),
    overrides: Object.fromEntries(
      Object.entries(object(overrides, `\`${where}overrides\``)).map(([serverId, override]) => [
        serverId,
        readOverride(override, `\`${where}overrides.${serverId}\``),
      ]),
    ),
  };
}

/** The document with one pool's section replaced and everything else as it was. */
export function writeSection(document: JsonObject, owner: Owner, section: Section): JsonObject {
  const name = sectionOf(document, owner);
  const { overrides: _former, ...others } = sectionSource(document, name);
  const written = {
    ...others,
    activeServerId: section.activeServerId ?? null,
    servers: section.entries.map(writeEntry),
    ...(Object.keys(section.overrides).length > 0 && { overrides: section.overrides }),
  };
  if (name === "") {
    const { overrides: _replaced, ...rest } = document;
    return { version: FORMAT_VERSION, pool: owner.pool, ...rest, ...written };
  }
  return { version: FORMAT_VERSION, ...document, pools: { ...pools(document), [name]: written } };
}

/** The document with every sealed value of every pool replaced. @param replace is told where the value stands. */
export function mapSealed(
  document: JsonObject,
  replace: (value: string, place: readonly [section: string, serverId: string, field: string]) => string,
): JsonObject {
  const servers = (name: string) =>
    readSection(document, name).entries.map(({ serverId, profile, sealed }) =>
      writeEntry({
        serverId,
        profile,
        sealed: Object.fromEntries(
          Object.entries(sealed).map(([field, value]) => [field, replace(value, [name, serverId, field])]),
        ),
      }),
    );
  const below = Object.entries(pools(document)).map(([name, section]) => [
    name,
    { ...object(section, `\`pools.${name}\``), servers: servers(name) },
  ]);
  return {
    ...document,
    ...(document.servers !== undefined && { servers: servers("") }),
    ...(below.length > 0 && { pools: Object.fromEntries(below) as JsonObject }),
  };
}

/** True when some pool has an encrypted value in the file. @throws FormatError for a section of wrong shape. */
export function holdsSealed(document: JsonObject): boolean {
  return sectionNames(document).some((name) => readSection(document, name).entries.some(isSealed));
}

export function isSealed(entry: Entry): boolean {
  return Object.keys(entry.sealed).length > 0;
}

export function object(value: unknown, what: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new FormatError(`${what} is not an object`);
}

function pools(document: JsonObject): JsonObject {
  return object(document.pools ?? {}, "`pools`");
}

function sectionNames(document: JsonObject): readonly string[] {
  return ["", ...Object.keys(pools(document))];
}

function sectionSource(document: JsonObject, name: string): JsonObject {
  if (name === "") return document;
  const sections = pools(document);
  return Object.hasOwn(sections, name) ? object(sections[name], `\`pools.${name}\``) : {};
}

function readEntry(value: unknown, where: string): Entry {
  const { serverId, ...fields } = object(value, where);
  if (typeof serverId !== "string" || serverId === "") throw new FormatError(`${where} has no \`serverId\``);
  const isSecret = ([name, field]: [string, unknown]) => sealsSecret(name, field);
  return {
    serverId,
    profile: Object.fromEntries(Object.entries(fields).filter((field) => !isSecret(field))),
    sealed: Object.fromEntries(
      Object.entries(fields)
        .filter(isSecret)
        .map(([name, sealed]) => [name.slice(0, -SUFFIX.length), String(sealed)]),
    ),
  };
}

function readOverride(value: unknown, where: string): EnabledOverride {
  const { enabled, by, at } = object(value, where);
  if (typeof enabled !== "boolean" || typeof at !== "string" || (by !== undefined && typeof by !== "string"))
    throw new FormatError(`${where} is not { enabled, by, at }`);
  return { enabled, at, ...(by !== undefined && { by }) };
}

function writeEntry({ serverId, profile, sealed }: Entry): JsonObject {
  const reserved = Object.entries(profile).find(([name, field]) => sealsSecret(name, field));
  if (reserved) throw new TypeError(`The profile field "${reserved[0]}" cannot be stored: such names mean a secret.`);
  const secrets = Object.entries(sealed).map(([name, value]) => [`${name}${SUFFIX}`, value]);
  return { serverId, ...profile, ...(Object.fromEntries(secrets) as JsonObject) };
}

function sealsSecret(name: string, field: unknown): boolean {
  return name.length > SUFFIX.length && name.endsWith(SUFFIX) && typeof field === "string";
}
