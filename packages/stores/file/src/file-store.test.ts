import { StoreError, createManualClock, systemClock, type LogFields, type StoredState } from "@davpool/core";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import {
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  writeFile as writeWithMode,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FileStore, type FileStoreInit } from "./file-store.ts";
import { rekey } from "./rekey.ts";

const SECRET_KEY = "Zx81-k3y-Zx82-k3y-Zx83-k3y-Zx84-k3y";
const ANOTHER_KEY = "another-key-of-0123456789-abcdefghij";
const PASSWORD = "s3cret-pässword";
const EMPTY: StoredState = { activeServerId: undefined, servers: [] };

let folder: string;
let file: string;
let logged: { level: string; message: string; fields: LogFields | undefined }[];

const record = (level: string) => (message: string, fields?: LogFields) => void logged.push({ level, message, fields });
const log = { debug: record("debug"), info: record("info"), warn: record("warn"), error: record("error") };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "davpool-store-"));
  file = join(folder, "servers.json");
  logged = [];
});

afterEach(() => rm(folder, { recursive: true }));

/** For its owner alone, as the store writes its own. */
const writeFile = (path: string, written: string | Uint8Array, options: { mode: number } = { mode: 0o600 }) =>
  writeWithMode(path, written, options);

function open(init: Partial<FileStoreInit> = {}): FileStore {
  return new FileStore({
    file,
    pool: "files",
    primary: true,
    secretKey: SECRET_KEY,
    secretFields: ["password", "token"],
    clock: createManualClock(),
    random: Math.random,
    log,
    ...init,
  });
}

const server = (serverId: string, secrets: Record<string, string> = {}) => ({
  serverId,
  profile: { url: `https://${serverId}.example.com/dav/`, username: "alice", priority: 1, enabled: true },
  secrets,
});

const adding =
  (...servers: StoredState["servers"]) =>
  (state: StoredState): StoredState => ({ ...state, servers: [...state.servers, ...servers] });

const text = () => readFile(file, "utf8");
const content = async () => JSON.parse(await text()) as Record<string, unknown>;
const names = async () => (await readdir(folder)).toSorted();
const asides = async () => (await names()).filter((name) => name.includes("corrupt"));

async function refusal(work: Promise<unknown>): Promise<StoreError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(StoreError);
  return error as StoreError;
}

describe("what is written", () => {
  test("is read back by another store, secrets included", async () => {
    const saved = await open().update((state) => ({
      ...adding(server("eu", { password: PASSWORD }), server("us"))(state),
      activeServerId: "eu",
    }));
    expect(saved).toEqual({ activeServerId: "eu", servers: [server("eu", { password: PASSWORD }), server("us")] });
    expect(await open().load()).toEqual(saved);
  });

  test("has the documented shape: flat profiles, each secret as <name>Encrypted", async () => {
    await open().update((state) => ({
      ...adding(server("eu", { password: PASSWORD, token: "t" }))(state),
      activeServerId: "eu",
    }));
    const sealed = expect.stringMatching(/^v2(\.[\w-]+){3}$/) as string;
    expect(await content()).toEqual({
      version: 1,
      encryption: {
        kdf: "scrypt",
        salt: expect.stringMatching(/^[\w-]{22}$/) as string,
        N: 32_768,
        r: 8,
        p: 1,
        check: expect.stringMatching(/^v1\./) as string,
      },
      pool: "files",
      activeServerId: "eu",
      servers: [{ serverId: "eu", ...server("eu").profile, passwordEncrypted: sealed, tokenEncrypted: sealed }],
    });
    expect(await text()).not.toContain(PASSWORD);
  });

  test("is for its owner alone: file and lock 0600, a folder made for it 0700", async () => {
    file = join(folder, "made", "here", "servers.json");
    await open().update(adding(server("eu")));
    await open().updateHealth((health) => health);
    const mode = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);
    expect(await mode(file)).toBe("600");
    expect(await mode(`${file}.lock`)).toBe("600");
    expect(await mode(join(dirname(file), "servers.health.json"))).toBe("600");
    expect(await mode(dirname(file))).toBe("700");
    expect(await mode(dirname(dirname(file)))).toBe("700");
  });

  test("makes a file that others could read private again", async () => {
    await writeFile(file, JSON.stringify({ servers: [] }), { mode: 0o644 });
    await open().update(adding(server("eu")));
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  test("is reported at the start where others can read it", async () => {
    await writeFile(file, JSON.stringify({ servers: [] }), { mode: 0o640 });
    const store = open();
    await store.load();
    await store.load();
    expect(logged).toEqual([
      {
        level: "warn",
        message: `The store file ${file} is open to other users of this machine (mode 640). Run: chmod 600 ${file}`,
        fields: { file },
      },
    ]);
  });

  test("leaves nothing beside the file but its lock", async () => {
    await open().update(adding(server("eu")));
    expect(await names()).toEqual(["servers.json", "servers.json.lock"]);
  });

  test("goes through a symbolic link, which stays one", async () => {
    const real = join(folder, "real.json");
    await writeFile(real, "{}");
    await symlink(real, file);
    await open().update(adding(server("eu")));
    expect((await lstat(file)).isSymbolicLink()).toBe(true);
    expect(await readFile(real, "utf8")).toContain("eu.example.com");
    expect(await names()).toContain("real.json.lock");
  });

  test("goes where a dangling symbolic link leads to, and the link stays one", async () => {
    const real = join(folder, "mounted", "real.json");
    await mkdir(dirname(real));
    await symlink(join("mounted", "real.json"), file);
    await open().update(adding(server("eu")));
    expect((await lstat(file)).isSymbolicLink()).toBe(true);
    expect(await readFile(real, "utf8")).toContain("eu.example.com");
  });

  test("is not put beside a symbolic link whose folder is not there", async () => {
    await symlink(join(folder, "unmounted", "real.json"), file);
    expect((await refusal(open().update(adding(server("eu"))))).code).toBe("STORE_UNWRITABLE");
    expect((await lstat(file)).isSymbolicLink()).toBe(true);
  });

  test("keeps its health beside the target of a symbolic link, and finds it there", async () => {
    await mkdir(join(folder, "mounted"));
    await symlink(join(folder, "mounted", "real.json"), file);
    const store = open();
    await store.update(adding(server("eu")));
    await store.updateHealth((health) => ({ ...health, counters: { ...health.counters, total: 7 } }));
    expect((await open().loadHealth()).counters.total).toBe(7);
  });

  test("keeps which declared servers callers have disabled", async () => {
    const overrides = { s1: { enabled: false, by: "alice", at: "2026-01-02T03:04:05.000Z" } };
    await open().update((state) => ({ ...state, overrides }));
    await open({ pool: "media", primary: false }).update((state) => ({
      ...state,
      overrides: { m: { enabled: true, at: "x" } },
    }));
    expect((await open().load()).overrides).toEqual(overrides);
    await open().update(({ overrides: _gone, ...state }) => state);
    expect((await open().load()).overrides).toBeUndefined();
    expect((await open({ pool: "media", primary: false }).load()).overrides).toEqual({ m: { enabled: true, at: "x" } });
  });

  test("is not changed by a change that throws", async () => {
    const store = open();
    await store.update(adding(server("eu")));
    const before = await text();
    await expect(
      store.update(() => {
        throw new Error("taken");
      }),
    ).rejects.toThrow("taken");
    expect(await text()).toBe(before);
    await store.update(adding(server("us")));
    expect((await store.load()).servers).toHaveLength(2);
  });

  test("refuses a profile field whose name means a secret", async () => {
    const odd = { ...server("eu"), profile: { noteEncrypted: "no secret" } };
    await expect(open().update(adding(odd))).rejects.toThrow('"noteEncrypted" cannot be stored');
    expect(await names()).toEqual(["servers.json.lock"]);
  });

  test("keeps profile fields that only look like a secret", async () => {
    const odd = { ...server("eu"), profile: { connectionEncrypted: true, Encrypted: "x" } };
    await open().update(adding(odd));
    expect((await open().load()).servers).toEqual([odd]);
  });
});

describe("sections", () => {
  test("a pool beside the first has its own, and neither touches the other's", async () => {
    const first = open();
    const second = open({ pool: "media", primary: false });
    await first.update((state) => ({ ...adding(server("eu", { password: "one" }))(state), activeServerId: "eu" }));
    await second.update(adding(server("eu", { password: "two" })));
    await first.update(adding(server("us")));
    expect(await first.load()).toEqual({
      activeServerId: "eu",
      servers: [server("eu", { password: "one" }), server("us")],
    });
    expect(await second.load()).toEqual({ ...EMPTY, servers: [server("eu", { password: "two" })] });
    expect(await content()).toMatchObject({
      pools: { media: { activeServerId: null, servers: [{ serverId: "eu" }] } },
    });
  });

  test("the top level stays with the pool that wrote it, whichever is the first by now", async () => {
    await open().update((state) => ({ ...adding(server("eu", { password: "one" }))(state), activeServerId: "eu" }));
    await open().updateHealth((health) => ({ ...health, counters: { ...health.counters, total: 7 } }));
    const archive = open({ pool: "archive" });
    expect(await archive.load()).toEqual(EMPTY);
    expect((await archive.loadHealth()).counters.total).toBe(0);
    await archive.update(adding(server("us")));
    const files = open({ primary: false });
    expect((await files.load()).servers).toEqual([server("eu", { password: "one" })]);
    expect((await files.loadHealth()).counters.total).toBe(7);
    await files.update(adding(server("ap")));
    expect(await content()).toMatchObject({
      pool: "files",
      servers: [{ serverId: "eu" }, { serverId: "ap" }],
      pools: { archive: { servers: [{ serverId: "us" }] } },
    });
  });

  test("servers whose pool has another name now are told of, and stay", async () => {
    await open().update(adding(server("eu")));
    const before = await text();
    expect(await open({ pool: "docs" }).load()).toEqual(EMPTY);
    expect(logged[0]?.message).toContain(`belong to the pool "files", and not to "docs"`);
    expect(await text()).toBe(before);
  });

  test.each([
    ["in both places", { pool: "files", servers: [{ serverId: "a" }] }, "Move those up."],
    ["at a top level without a name", { servers: [{ serverId: "a" }] }, "belong to no pool"],
  ])("servers of one pool %s are told of", async (_where, top, told) => {
    await writeFile(file, JSON.stringify({ ...top, pools: { files: { servers: [{ serverId: "b" }] } } }));
    expect((await open().load()).servers).toHaveLength(1);
    expect(logged[0]?.message).toContain(told);
  });

  test("what a first pool has below is its own, where nobody has written at the top", async () => {
    await open({ pool: "media", primary: false }).update(adding(server("eu")));
    expect((await open({ pool: "media" }).load()).servers).toEqual([server("eu")]);
  });

  test("keys that a store does not know stay", async () => {
    await writeFile(
      file,
      JSON.stringify({ note: "mine", pools: { media: { comment: 1, servers: [] }, other: { x: 1 } }, servers: [] }),
    );
    await open({ pool: "media", primary: false }).update(adding(server("eu")));
    await open().update(adding(server("us")));
    expect(await content()).toMatchObject({
      version: 1,
      note: "mine",
      pools: { media: { comment: 1, servers: [{ serverId: "eu" }] }, other: { x: 1 } },
      servers: [{ serverId: "us" }],
    });
  });

  test("a pool may be called like something every object has", async () => {
    const store = open({ pool: "constructor", primary: false });
    expect(await store.load()).toEqual(EMPTY);
    await store.update(adding(server("eu")));
    expect((await store.load()).servers).toEqual([server("eu")]);
    expect((await store.loadHealth()).servers).toEqual({});
  });
});

describe("without DAVPOOL_SECRET_KEY", () => {
  test.each([undefined, ""])("(%o) a secret is refused, with the way to make a key", async (secretKey) => {
    const store = open({ secretKey });
    await store.update(adding(server("eu")));
    const before = await text();
    const error = await refusal(store.update(adding(server("us", { password: PASSWORD }))));
    expect(error).toMatchObject({ code: "STORE_KEY_MISSING", details: { file, serverId: "us" } });
    expect(error.message).toContain("openssl rand -base64 32");
    expect(error.message).toContain("DAVPOOL_SECRET_KEY");
    expect(error.message).toContain("Nothing was saved");
    expect(error.message).not.toContain(PASSWORD);
    expect(await text()).toBe(before);
  });

  test("a file with encrypted fields is not loaded", async () => {
    await open().update(adding(server("eu", { password: PASSWORD })));
    const before = await text();
    const store = open({ secretKey: undefined });
    for (const error of [await refusal(store.load()), await refusal(store.update(adding(server("us"))))]) {
      expect(error).toMatchObject({ code: "STORE_KEY_MISSING", details: { file, serverIds: ["eu"] } });
      expect(error.message).toContain(file);
    }
    expect(await text()).toBe(before);
  });

  test("another pool's encrypted fields do no harm, and stay", async () => {
    await open().update(adding(server("eu", { password: PASSWORD })));
    await open({ pool: "media", primary: false, secretKey: undefined }).update(adding(server("us")));
    expect((await open().load()).servers).toEqual([server("eu", { password: PASSWORD })]);
  });
});

describe("encryption", () => {
  test("another key opens nothing and overwrites nothing", async () => {
    await open().update(adding(server("eu", { password: PASSWORD })));
    const before = await text();
    const store = open({ secretKey: ANOTHER_KEY });
    for (const error of [await refusal(store.load()), await refusal(store.update(() => EMPTY))]) {
      expect(error).toMatchObject({ code: "STORE_KEY_WRONG", details: { file, serverIds: ["eu"] } });
      expect(error.message).toContain(file);
      expect(error.message).toContain("eu");
    }
    expect(await text()).toBe(before);
  });

  test("a second key does not get into a file that has a first one", async () => {
    await open().update(adding(server("eu", { password: PASSWORD })));
    const before = await text();
    const error = await refusal(
      open({ pool: "media", primary: false, secretKey: ANOTHER_KEY }).update(adding(server("us", { password: "p" }))),
    );
    expect(error).toMatchObject({ code: "STORE_KEY_WRONG", details: { serverId: "us" } });
    expect(await text()).toBe(before);
  });

  test("a file without encrypted values left takes a new key", async () => {
    const store = open();
    await store.update(adding(server("eu", { password: PASSWORD })));
    await store.update(() => ({ ...EMPTY, servers: [server("us")] }));
    expect(await content()).not.toHaveProperty("encryption");
    const next = open({ secretKey: ANOTHER_KEY });
    await next.update(adding(server("ap", { password: PASSWORD })));
    expect((await next.load()).servers).toEqual([server("us"), server("ap", { password: PASSWORD })]);
  });

  test.each(["altered", "cut off", "made up", "of another server"])("a value that is %s is refused", async (how) => {
    await open().update(adding(server("eu", { password: PASSWORD }), server("us", { password: "other" })));
    const document = (await content()) as { servers: { passwordEncrypted: string }[] };
    const [eu, us] = document.servers as [{ passwordEncrypted: string }, { passwordEncrypted: string }];
    const value = eu.passwordEncrypted;
    eu.passwordEncrypted = {
      altered: value
        .replace(/.$/, (last) => (last === "A" ? "Q" : "A"))
        .replace(/\.(.)(?=[^.]*$)/, (_, c) => (c === "A" ? ".B" : ".A")),
      "cut off": value.slice(0, 20),
      "made up": "encrypted-value",
      "of another server": us.passwordEncrypted,
    }[how] as string;
    const damaged = JSON.stringify(document);
    await writeFile(file, damaged);
    const error = await refusal(open().load());
    expect(error).toMatchObject({ code: "STORE_KEY_WRONG", details: { file, serverId: "eu", field: "password" } });
    expect(error.message).not.toContain(eu.passwordEncrypted);
    await refusal(open().update(adding(server("ap"))));
    expect(await text()).toBe(damaged);
  });

  test("a value cannot be moved to another field or pool", async () => {
    await open().update(adding(server("eu", { password: PASSWORD })));
    const { servers, ...rest } = (await content()) as { servers: [{ passwordEncrypted: string }] };
    const [{ passwordEncrypted, ...flat }] = servers;
    await writeFile(file, JSON.stringify({ ...rest, servers: [{ ...flat, tokenEncrypted: passwordEncrypted }] }));
    expect((await refusal(open().load())).code).toBe("STORE_KEY_WRONG");
    await writeFile(file, JSON.stringify({ ...rest, pools: { media: { servers } } }));
    expect((await refusal(open({ pool: "media", primary: false }).load())).code).toBe("STORE_KEY_WRONG");
  });

  test("a secret is not used for another origin than it was saved for, and is for another path", async () => {
    const secretsOrigin = ({ url }: Readonly<Record<string, unknown>>) => new URL(String(url)).origin;
    await open({ secretsOrigin }).update(
      adding(server("eu", { password: PASSWORD }), server("us", { password: "us" })),
    );
    const written = await text();
    await writeFile(
      file,
      written
        .replace("https://eu.example.com", "https://thief.example.com")
        .replace("us.example.com/dav/", "us.example.com/files/"),
    );
    const [eu, us] = (await open({ secretsOrigin }).load()).servers;
    expect(eu).toMatchObject({ profile: { url: "https://thief.example.com/dav/" }, secrets: {} });
    expect(us?.secrets).toEqual({ password: "us" });
    expect(logged).toMatchObject([{ level: "error", fields: { serverId: "eu", field: "password" } }]);
  });

  test.each([
    ["x", "has 1 characters, fewer than 32"],
    ["a".repeat(64), "has only 1 different characters"],
    ["password-1".repeat(5), "is a shorter text repeated"],
  ])("the key %o is refused with the command that makes a good one", (secretKey, why) => {
    expect(() => open({ secretKey })).toThrow(why);
    expect(() => open({ secretKey })).toThrow("openssl rand -base64 32");
  });

  test("of several keys all open and the first seals, for every pool in the file", async () => {
    await open().update(adding(server("eu", { password: PASSWORD })));
    await open({ pool: "media", primary: false }).update(adding(server("m", { password: "media" })));
    const both = `${ANOTHER_KEY}, ${SECRET_KEY}`;
    const rotating = open({ secretKey: both });
    expect((await rotating.load()).servers[0]?.secrets).toEqual({ password: PASSWORD });
    await rotating.update(adding(server("us")));
    expect((await open({ secretKey: ANOTHER_KEY }).load()).servers[0]?.secrets).toEqual({ password: PASSWORD });
    const media = open({ pool: "media", primary: false, secretKey: ANOTHER_KEY });
    expect((await media.load()).servers[0]?.secrets).toEqual({ password: "media" });
    expect((await refusal(open().load())).code).toBe("STORE_KEY_WRONG");
  });

  test("rekeying encrypts everything with the first key, and refuses where no key fits", async () => {
    await open().update(adding(server("eu", { password: PASSWORD })));
    await open({ pool: "media", primary: false }).update(adding(server("m", { password: "media" })));
    expect((await refusal(rekey({ file, secretKey: ANOTHER_KEY }))).code).toBe("STORE_KEY_WRONG");
    expect((await refusal(rekey({ file, secretKey: undefined }))).code).toBe("STORE_KEY_MISSING");
    expect(await rekey({ file, secretKey: `${ANOTHER_KEY},${SECRET_KEY}` })).toBe(true);
    expect((await open({ secretKey: ANOTHER_KEY }).load()).servers[0]?.secrets).toEqual({ password: PASSWORD });
    const media = open({ pool: "media", primary: false, secretKey: ANOTHER_KEY });
    expect((await media.load()).servers[0]?.secrets).toEqual({ password: "media" });
  });

  test("rekeying a file without secrets, or none, does nothing", async () => {
    expect(await rekey({ file, secretKey: ANOTHER_KEY })).toBe(false);
    await open().update(adding(server("eu")));
    const before = await text();
    expect(await rekey({ file, secretKey: ANOTHER_KEY })).toBe(false);
    expect(await text()).toBe(before);
    await writeFile(file, "{");
    expect((await refusal(rekey({ file, secretKey: ANOTHER_KEY }))).code).toBe("STORE_CORRUPT");
  });

  test("a password written in by hand is taken, warned of once, and encrypted with the next change", async () => {
    const { url, username } = server("eu").profile;
    await writeFile(file, JSON.stringify({ servers: [{ serverId: "eu", url, username, password: PASSWORD }] }));
    const store = open();
    const state = await store.load();
    expect(state.servers).toEqual([{ serverId: "eu", profile: { url, username }, secrets: { password: PASSWORD } }]);
    await store.update((before) => ({ ...before, activeServerId: "eu" }));
    expect(logged).toEqual([
      { level: "warn", message: expect.stringContaining("in clear") as string, fields: { file, serverId: "eu" } },
    ]);
    expect(JSON.stringify(logged)).not.toContain(PASSWORD);
    expect(await text()).not.toContain(PASSWORD);
    expect((await open().load()).servers).toEqual(state.servers);
  });

  test("a password written in by hand is not written again in clear", async () => {
    const before = JSON.stringify({ servers: [{ serverId: "eu", password: PASSWORD }] });
    await writeFile(file, before);
    const store = open({ secretKey: undefined });
    expect((await store.load()).servers[0]?.secrets).toEqual({ password: PASSWORD });
    expect((await refusal(store.update(adding(server("us"))))).code).toBe("STORE_KEY_MISSING");
    expect(logged[0]?.message).toContain("Set DAVPOOL_SECRET_KEY");
    expect(await text()).toBe(before);
  });
});

describe("reading", () => {
  test("no file is an empty state, and reading makes none", async () => {
    expect(await open().load()).toEqual(EMPTY);
    file = join(folder, "no", "such", "folder", "servers.json");
    expect(await open().load()).toEqual(EMPTY);
    expect(await names()).toEqual([]);
  });

  test("a file without a version, or with a byte order mark, is read", async () => {
    await writeFile(file, `\uFEFF${JSON.stringify({ activeServerId: "eu", servers: [{ serverId: "eu", url: "u" }] })}`);
    expect(await open().load()).toEqual({
      activeServerId: "eu",
      servers: [{ serverId: "eu", profile: { url: "u" }, secrets: {} }],
    });
  });

  test("a file of a later version is refused and left as it is", async () => {
    const later = JSON.stringify({ version: 2, anything: [] });
    await writeFile(file, later);
    for (const error of [await refusal(open().load()), await refusal(open().update(adding(server("eu"))))]) {
      expect(error).toMatchObject({ code: "STORE_VERSION", details: { file, version: 2 } });
      expect(error.message).toMatch(/Upgrade davpool.*DAV_SERVERS_FILE/);
    }
    expect(await text()).toBe(later);
  });

  const header = { kdf: "scrypt", salt: "A".repeat(22), N: 32_768, r: 8, p: 1, check: "v1.x" };
  const sealed = (encryption: unknown) =>
    JSON.stringify({ encryption, servers: [{ serverId: "a", xEncrypted: "v1." }] });
  const wrong: [string, string][] = [
    ["nothing", ""],
    ["half of it", '{ "servers": [ { "serverId": "eu", "passwor'],
    ["no JSON", "servers: []"],
    ["a list", "[]"],
    ["null", "null"],
    ["servers that are no list", '{ "servers": {} }'],
    ["a server that is no object", '{ "servers": ["eu"] }'],
    ["a server without id", '{ "servers": [{ "url": "u" }] }'],
    ["an id that is no text", '{ "servers": [{ "serverId": 7 }] }'],
    ["an empty id", '{ "servers": [{ "serverId": "" }] }'],
    ["an active server that is no text", '{ "activeServerId": 7 }'],
    ["a version that is none", '{ "version": "1" }'],
    ["version 0", '{ "version": 0 }'],
    ["version 1.5", '{ "version": 1.5 }'],
    ["pools that are no object", '{ "pools": [] }'],
    ["a pool that is no object", '{ "pools": { "media": 1 } }'],
    ["a wrong server in another pool", '{ "pools": { "media": { "servers": [1] } } }'],
    ["encrypted values without header", sealed(undefined)],
    ["a header that is null", sealed(null)],
    ["an unknown derivation", sealed({ ...header, kdf: "md5" })],
    ["no salt", sealed({ ...header, salt: 1 })],
    ["too short a salt", sealed({ ...header, salt: "AA" })],
    ["no check", sealed({ ...header, check: 1 })],
    ["a cost that would take the machine's memory", sealed({ ...header, N: 2 ** 30 })],
    ["a cost in all that would", sealed({ ...header, N: 2 ** 18, r: 16 })],
    ["a cost that protects nothing", sealed({ ...header, N: 2 })],
    ["a cost that is no power of two", sealed({ ...header, N: 32_769 })],
    ["a cost that is no number", sealed({ ...header, r: "8" })],
    ["endless rounds", sealed({ ...header, p: 1e9 })],
  ];

  test.each(wrong)("a file with %s is kept aside, said, and the store goes on empty", async (_what, damaged) => {
    await writeFile(file, damaged);
    const store = open();
    expect(await store.load()).toEqual(EMPTY);
    const aside = `${file}.corrupt-2026-01-01T000000.000Z`;
    expect(await readFile(aside, "utf8")).toBe(damaged);
    expect(existsSync(file)).toBe(false);
    expect(logged).toEqual([
      { level: "error", message: expect.stringContaining(aside) as string, fields: { file, aside } },
    ]);
    await store.update(adding(server("eu")));
    expect((await open().load()).servers).toEqual([server("eu")]);
    expect(await readFile(aside, "utf8")).toBe(damaged);
  });

  test("a damaged file is kept aside by a change as well, and never in place of another one", async () => {
    for (const damaged of ["one", "two", "three"]) {
      await writeFile(file, damaged);
      await open().update(adding(server("eu")));
      expect((await open().load()).servers).toEqual([server("eu")]);
    }
    const kept = await asides();
    expect(kept).toHaveLength(3);
    const texts = await Promise.all(kept.map((name) => readFile(join(folder, name), "utf8")));
    expect(texts.toSorted()).toEqual(["one", "three", "two"]);
  });

  test("a damaged file is kept aside once by stores that find it at the same time", async () => {
    await writeFile(file, "damaged");
    const stores = [open({ clock: systemClock }), open({ clock: systemClock }), open({ clock: systemClock })];
    expect(await Promise.all(stores.map((store) => store.load()))).toEqual([EMPTY, EMPTY, EMPTY]);
    expect(await asides()).toHaveLength(1);
  });

  test("no error quotes what is in a damaged file", async () => {
    await writeFile(file, `{ "servers": [{ "serverId": "eu", "password": "${PASSWORD}" `);
    await open().load();
    expect(JSON.stringify(logged)).not.toContain(PASSWORD);
  });
});

describe("disk errors", () => {
  test("a folder that is a file", async () => {
    await writeFile(join(folder, "plain"), "");
    const store = open({ file: join(folder, "plain", "servers.json") });
    for (const error of [await refusal(store.load()), await refusal(store.update(adding(server("eu"))))]) {
      expect(error.code).toBe("STORE_UNWRITABLE");
      expect(error.message).toContain(join(folder, "plain", "servers.json"));
      expect(error.message).toMatch(/ENOTDIR|EEXIST/);
      expect(error.message).toContain("is a file and not a folder");
    }
  });

  test("a file that is a folder", async () => {
    await mkdir(file);
    const error = await refusal(open().update(adding(server("eu"))));
    expect(error).toMatchObject({ code: "STORE_UNWRITABLE", details: { file, errno: "EISDIR" } });
  });

  test("a symbolic link that goes round in circles", async () => {
    await symlink(file, file);
    const error = await refusal(open().update(adding(server("eu"))));
    expect(error).toMatchObject({ code: "STORE_UNWRITABLE", details: { errno: "ELOOP" } });
  });
});

describe("killed writers", () => {
  test("leave temporary files that the next change removes, and nothing else is removed", async () => {
    const id = "0f8fad5b-d9cb-469f-a165-70867728950e";
    const others = ["servers.json.bak", "servers.json.x.tmp", `other.json.${id}.tmp`];
    for (const name of [`servers.json.${id}.tmp`, `servers.health.json.${id}.tmp`, ...others])
      await writeFile(join(folder, name), "{");
    await open().update(adding(server("eu")));
    expect(await names()).toEqual([...others, "servers.json", "servers.json.lock"].toSorted());
  });
});

describe("health and counters", () => {
  const healthPath = () => join(folder, "servers.health.json");
  const counters = { total: 5, successful: 4, failed: 1, failoverCount: 2, responseTimeSum: 120.5 };
  const eu = {
    status: "degraded",
    lastCheck: "2026-01-01T00:00:00.000Z",
    responseTime: 45,
    uptime: 99.9,
    consecutiveFailures: 0,
    consecutiveSuccesses: 7,
  } as const;
  const us = { status: "unhealthy", uptime: 0, consecutiveFailures: 3, consecutiveSuccesses: 0 } as const;
  const NONE = {
    servers: {},
    counters: { total: 0, successful: 0, failed: 0, failoverCount: 0, responseTimeSum: 0 },
  };

  test("are empty at first and kept beside the file, per pool", async () => {
    expect(await open().loadHealth()).toEqual(NONE);
    await open().updateHealth(() => ({ servers: { eu, us }, counters }));
    await open({ pool: "media", primary: false }).updateHealth((health) => {
      expect(health).toEqual(NONE);
      return { servers: { us }, counters: { ...counters, total: 9 } };
    });
    await open().updateHealth((health) => ({ ...health, counters: { ...health.counters, total: 6 } }));
    expect(await open().loadHealth()).toEqual({ servers: { eu, us }, counters: { ...counters, total: 6 } });
    expect(await open({ pool: "media", primary: false }).loadHealth()).toEqual({
      servers: { us },
      counters: { ...counters, total: 9 },
    });
    expect(existsSync(file)).toBe(false);
    expect(await names()).toEqual(["servers.health.json", "servers.json.lock"]);
  });

  test("stand beside a file that does not end in .json too", async () => {
    await open({ file: join(folder, "servers") }).updateHealth((health) => health);
    expect(await names()).toEqual(["servers.health.json", "servers.lock"]);
  });

  const wrong: unknown[] = [
    null,
    { version: 2 },
    { version: 1, servers: [] },
    { version: 1, servers: { eu: 1 } },
    { version: 1, servers: { eu: { ...eu, status: "fine" } } },
    { version: 1, servers: { eu: { ...eu, lastCheck: "yesterday" } } },
    { version: 1, servers: { eu: { ...eu, lastCheck: 7 } } },
    { version: 1, servers: { eu: { ...eu, uptime: -1 } } },
    { version: 1, counters: { total: "many" } },
    { version: 1, pools: { media: 7 } },
    { version: 1, pools: { media: { counters: [] } } },
  ];

  test.each([...wrong.map((value) => JSON.stringify(value)), '{ "ver'])(
    "that are damaged (%s) are ignored with a warning and replaced",
    async (damaged) => {
      await writeFile(healthPath(), damaged);
      expect(await open().loadHealth()).toEqual(NONE);
      expect(logged).toMatchObject([{ level: "warn", message: expect.stringContaining(healthPath()) as string }]);
      await open().updateHealth((health) => ({ ...health, servers: { us } }));
      expect(await open().loadHealth()).toEqual({ ...NONE, servers: { us } });
    },
  );

  test("that cannot be read are not known", async () => {
    await mkdir(healthPath());
    expect(await open().loadHealth()).toEqual(NONE);
    expect(logged).toMatchObject([{ level: "warn" }]);
    const error = await refusal(open().updateHealth((health) => health));
    expect(error.code).toBe("STORE_UNWRITABLE");
  });
});

describe("on the operating system's side", () => {
  test("a full disk, as far as this machine can have one: the old file stays", async () => {
    await open().update(adding(server("eu")));
    const before = await text();
    // A limit on the size of files, which the store meets in a process of its own.
    const script = `
      import { FileStore } from "./src/file-store.ts";
      import { systemClock } from "@davpool/core";
      process.on("SIGXFSZ", () => {});
      const silent = { debug() {}, info() {}, warn() {}, error() {} };
      const store = new FileStore({ file: process.argv[1], pool: "files", primary: true, secretFields: [], clock: systemClock, random: Math.random, log: silent });
      const big = { serverId: "big", profile: { note: "x".repeat(200_000) }, secrets: {} };
      await store.update((state) => ({ ...state, servers: [...state.servers, big] })).catch((error) => console.log(error.code, error.details.errno));
    `;
    const output = execFileSync(
      "sh",
      ["-c", 'ulimit -f 64; exec "$0" "$@"', process.execPath, "--input-type=module", "-e", script, file],
      {
        cwd: join(import.meta.dirname, ".."),
        encoding: "utf8",
      },
    );
    expect(output.trim()).toBe("STORE_UNWRITABLE EFBIG");
    expect(await text()).toBe(before);
    expect(await names()).toEqual(["servers.json", "servers.json.lock"]);
  });
});
