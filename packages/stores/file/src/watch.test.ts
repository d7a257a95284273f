import { createManualClock, systemClock, type Clock, type StoredState } from "@davpool/core";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FileStore } from "./file-store.ts";

let watches: DisposableStack;
let folder: string;
let file: string;
let errors: string[];
let told: () => void;

const log = {
  debug() {},
  info() {},
  warn() {},
  error(message: string) {
    errors.push(message);
    told();
  },
};

beforeEach(async () => {
  watches = new DisposableStack();
  folder = await mkdtemp(join(tmpdir(), "davpool-watch-"));
  file = join(folder, "servers.json");
  errors = [];
  told = () => undefined;
});

afterEach(async () => {
  watches.dispose();
  await rm(folder, { recursive: true, force: true });
});

function open({
  pool = "files",
  path = file,
  clock = systemClock,
}: { pool?: string; path?: string; clock?: Clock } = {}): FileStore {
  const primary = pool === "files";
  return new FileStore({ file: path, pool, primary, secretFields: [], clock, random: Math.random, log });
}

const ids = (state: StoredState) => state.servers.map((server) => server.serverId);
const adding = (serverId: string) => (state: StoredState) => ({
  ...state,
  servers: [...state.servers, { serverId, profile: {}, secrets: {} }],
});

/** Collects what a watch tells, for waiting on the next of it. */
function inbox(): { readonly put: (state: StoredState) => void; next(): Promise<string[]>; readonly seen: string[][] } {
  const seen: string[][] = [];
  const unread: string[][] = [];
  let wake: () => void = () => undefined;
  return {
    seen,
    put(state) {
      seen.push(ids(state));
      unread.push(ids(state));
      wake();
    },
    async next() {
      while (unread.length === 0) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
      }
      return unread.shift() as string[];
    },
  };
}

describe("a watched file", () => {
  test("tells of the changes of others", async () => {
    const store = open();
    await store.load();
    const box = inbox();
    watches.use(store.watch(box.put));
    await open().update(adding("eu"));
    expect(await box.next()).toEqual(["eu"]);
    await open().update(adding("us"));
    expect(await box.next()).toEqual(["eu", "us"]);
    await rm(file);
    expect(await box.next()).toEqual([]);
  });

  test("tells neither of its own changes nor of those of other pools nor of writing the same again", async () => {
    const store = open();
    const box = inbox();
    watches.use(store.watch(box.put));
    await store.update(adding("eu"));
    await open({ pool: "media" }).update(adding("other"));
    await open().update((state) => state);
    await store.updateHealth((health) => health);
    await open().update(adding("us"));
    expect(await box.next()).toEqual(["eu", "us"]);
    expect(box.seen).toHaveLength(1);
  });

  test("tells of what happened between loading and watching", async () => {
    const store = open();
    await store.load();
    await open().update(adding("eu"));
    const box = inbox();
    watches.use(store.watch(box.put));
    expect(await box.next()).toEqual(["eu"]);
  });

  test("tells of another's change that an own change has just been merged with", async () => {
    const clock = createManualClock();
    const store = open({ clock });
    await store.load();
    const box = inbox();
    watches.use(store.watch(box.put));
    await open().update(adding("theirs"));
    await store.update(adding("mine"));
    expect(box.seen).toEqual([["theirs", "mine"]]);
  });

  test("takes the events of a burst together", async () => {
    const clock = createManualClock();
    const store = open({ clock });
    const box = inbox();
    watches.use(store.watch(box.put));
    for (const id of ["a", "b", "c", "d"]) await open().update(adding(id));
    expect(clock.pending).toBe(1);
    clock.advance(50);
    expect(await box.next()).toEqual(["a", "b", "c", "d"]);
    expect(box.seen).toHaveLength(1);
  });

  test("tells everybody who watches, until they have had enough", async () => {
    const store = open();
    const [stays, leaves] = [inbox(), inbox()];
    watches.use(store.watch(stays.put));
    const leaving = store.watch(leaves.put);
    await open().update(adding("eu"));
    expect(await stays.next()).toEqual(["eu"]);
    expect(await leaves.next()).toEqual(["eu"]);
    leaving[Symbol.dispose]();
    leaving[Symbol.dispose]();
    await open().update(adding("us"));
    expect(await stays.next()).toEqual(["eu", "us"]);
    expect(leaves.seen).toHaveLength(1);
  });

  test("tells nobody once the store is closed", async () => {
    const clock = createManualClock();
    const store = open({ clock });
    const box = inbox();
    store.watch(box.put);
    await open().update(adding("eu"));
    await store[Symbol.asyncDispose]();
    expect(clock.pending).toBe(0);
    expect(box.seen).toEqual([]);
  });

  test("that is damaged just then changes nothing, and is neither moved nor thrown about", async () => {
    await open().update(adding("eu"));
    const store = open();
    await store.load();
    const box = inbox();
    watches.use(store.watch(box.put));
    const { promise, resolve } = Promise.withResolvers<void>();
    told = resolve;
    await writeFile(file, '{ "servers": [');
    await promise;
    expect(errors[0]).toContain(file);
    await writeFile(file, JSON.stringify({ servers: [{ serverId: "eu" }, { serverId: "by-hand" }] }));
    expect(await box.next()).toEqual(["eu", "by-hand"]);
    expect(box.seen).toHaveLength(1);
  });

  test("may be a symbolic link", async () => {
    const elsewhere = join(folder, "elsewhere", "real.json");
    await mkdir(dirname(elsewhere));
    await writeFile(elsewhere, "{}");
    await symlink(elsewhere, file);
    const box = inbox();
    watches.use(open().watch(box.put));
    await open({ path: elsewhere }).update(adding("eu"));
    expect(await box.next()).toEqual(["eu"]);
  });
});

describe("a watched folder", () => {
  test("need not be there yet, and may go and come again", async () => {
    file = join(folder, "to", "come", "servers.json");
    const box = inbox();
    watches.use(open().watch(box.put));
    await open().update(adding("eu"));
    expect(await box.next()).toEqual(["eu"]);
    await rm(join(folder, "to"), { recursive: true });
    expect(await box.next()).toEqual([]);
    await open().update(adding("us"));
    expect(await box.next()).toEqual(["us"]);
  });
});

test("watching keeps no process alive", async () => {
  const script = `
    import { FileStore } from "./src/file-store.ts";
    import { systemClock } from "@davpool/core";
    const silent = { debug() {}, info() {}, warn() {}, error() {} };
    const store = new FileStore({ file: process.argv[1], pool: "files", primary: true, secretFields: [], clock: systemClock, random: Math.random, log: silent });
    store.watch(() => {});
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, file], {
    cwd: join(import.meta.dirname, ".."),
    stdio: "inherit",
  });
  expect(await once(child, "exit")).toEqual([0, null]);
});
