import {
  StoreError,
  createManualClock,
  systemClock,
  type Clock,
  type ManualClock,
  type StoredState,
} from "@davpool/core";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FileStore } from "./file-store.ts";
import { withLock } from "./lock.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} };

let folder: string;
let file: string;
let children: ChildProcess[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "davpool-lock-"));
  file = join(folder, "servers.json");
  children = [];
});

afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  await rm(folder, { recursive: true });
});

function open(clock: Clock = systemClock): FileStore {
  return new FileStore({
    file,
    pool: "files",
    primary: true,
    secretFields: [],
    clock,
    random: Math.random,
    log: silent,
  });
}

const adding = (serverId: string) => (state: StoredState) => ({
  ...state,
  servers: [...state.servers, { serverId, profile: {}, secrets: {} }],
});

/** A manual clock that tells when somebody begins to wait. */
function observedClock(): ManualClock & { readonly waiting: Promise<void> } {
  const clock = createManualClock();
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    now: () => clock.now(),
    wall: () => clock.wall(),
    after(ms, run) {
      resolve();
      return clock.after(ms, run);
    },
    advance: (ms) => clock.advance(ms),
    get pending() {
      return clock.pending;
    },
    waiting: promise,
  };
}

/** Runs a module in a process of its own; `file`, `FileStore`, `withLock` and more are there. */
function run(script: string): { child: ChildProcess; next: () => Promise<string> } {
  const prelude = `
    import { systemClock } from "@davpool/core";
    import { FileStore } from "./src/file-store.ts";
    import { withLock } from "./src/lock.ts";
    const file = process.argv[1];
    const silent = { debug() {}, info() {}, warn() {}, error() {} };
    const open = (clock) => new FileStore({ file, pool: "files", primary: true, secretFields: [], clock, random: Math.random, log: silent });
    const options = { clock: systemClock, random: Math.random, limit: 10_000 };
    const adding = (serverId) => (state) => ({ ...state, servers: [...state.servers, { serverId, profile: {}, secrets: {} }] });
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", prelude + script, file], {
    cwd: join(import.meta.dirname, ".."),
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  return { child, next: async () => ((await lines.next()) as { value: string }).value };
}

const HOLD = `
  await withLock(file + ".lock", options, () => {
    console.log("locked");
    return new Promise((resolve) => setTimeout(resolve, 1_000_000));
  });
`;

async function refusal(work: Promise<unknown>): Promise<StoreError> {
  const error: unknown = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(StoreError);
  return error as StoreError;
}

describe("exclusion", () => {
  test("several stores in one process lose no update", async () => {
    const stores = [open(), open(), open()] as const;
    const ids = Array.from({ length: 60 }, (_, index) => `s${index}`);
    await Promise.all(ids.map((id, index) => stores[(index % 3) as 0 | 1 | 2].update(adding(id))));
    const { servers } = await open().load();
    expect(servers.map((server) => server.serverId).toSorted()).toEqual(ids.toSorted());
  });

  test("several processes lose no update", async () => {
    const runs = ["a", "b", "c"].map((name) =>
      run(`
        const store = open(systemClock);
        for (let i = 0; i < 20; i++) await store.update(adding("${name}" + i));
      `),
    );
    await Promise.all(runs.map(async ({ child }) => expect(await once(child, "exit")).toEqual([0, null])));
    expect(new Set((await open().load()).servers.map((server) => server.serverId)).size).toBe(60);
  });

  test("a second store in a process does not take the first one's lock away from it", async () => {
    const clock = observedClock();
    const lock = `${file}.lock`;
    await withLock(lock, { clock: systemClock, random: Math.random, limit: 0 }, async () => {
      const second = open(clock).update(adding("eu"));
      await clock.waiting;
      const { next } = run(`
        const { DatabaseSync } = await import("node:sqlite");
        try {
          new DatabaseSync(file + ".lock", { timeout: 0 }).exec("BEGIN EXCLUSIVE");
          console.log("taken");
        } catch (error) {
          console.log(error.message);
        }
      `);
      expect(await next()).toBe("database is locked");
      clock.advance(10_000);
      expect((await refusal(second)).code).toBe("STORE_LOCKED");
    });
  });

  test("a process that waits does not end before its turn", async () => {
    let waiting: ReturnType<typeof run> | undefined;
    await withLock(`${file}.lock`, { clock: systemClock, random: Math.random, limit: 0 }, async () => {
      waiting = run(`
        let told = false;
        const clock = { ...systemClock, after(ms, run) {
          if (!told) console.log("waiting");
          told = true;
          return systemClock.after(ms, run);
        } };
        await open(clock).update(adding("eu"));
        console.log("saved");
      `);
      expect(await waiting.next()).toBe("waiting");
    });
    expect(await waiting?.next()).toBe("saved");
    expect((await open().load()).servers).toHaveLength(1);
  });
});

describe("the lock", () => {
  test("goes with the process that holds it, killed or not", async () => {
    const { child, next } = run(HOLD);
    expect(await next()).toBe("locked");
    const clock = observedClock();
    const update = open(clock).update(adding("eu"));
    await clock.waiting;
    child.kill("SIGKILL");
    await once(child, "exit");
    clock.advance(100);
    expect((await update).servers).toHaveLength(1);
    await open().update(adding("us"));
  });

  test("that others hold for too long is an error that names the file", async () => {
    const { next } = run(HOLD);
    expect(await next()).toBe("locked");
    const clock = observedClock();
    const update = open(clock).update(adding("eu"));
    await clock.waiting;
    clock.advance(10_000);
    const error = await refusal(update);
    expect(error).toMatchObject({ code: "STORE_LOCKED", details: { file: `${file}.lock` } });
    expect(error.message).toContain("10 seconds");
  });

  test("does not keep readers out", async () => {
    await open().update(adding("eu"));
    const { next } = run(HOLD);
    expect(await next()).toBe("locked");
    expect((await open(createManualClock()).load()).servers).toHaveLength(1);
  });

  test("is let go when the work fails, and its file stays the same", async () => {
    const lock = `${file}.lock`;
    const options = { clock: systemClock, random: Math.random, limit: 0 };
    const fail = () => Promise.reject(new Error("failed"));
    await expect(withLock(lock, options, fail)).rejects.toThrow("failed");
    const { ino } = await stat(lock);
    expect(await withLock(lock, options, () => Promise.resolve("done"))).toBe("done");
    expect((await stat(lock)).ino).toBe(ino);
  });

  test("cannot be taken on what is no lock file", async () => {
    await writeFile(`${file}.lock`, "not a database, but long enough to have a header".repeat(20));
    const error = await refusal(open().update(adding("eu")));
    expect(error).toMatchObject({ code: "STORE_UNWRITABLE", details: { file: `${file}.lock` } });
    expect(error.message).toContain("move it away");
    await rm(`${file}.lock`);
    await mkdir(`${file}.lock`);
    expect((await refusal(open().update(adding("eu")))).code).toBe("STORE_UNWRITABLE");
  });
});
