import { StoreError, createManualClock, type Log, type StoredState } from "@davpool/core";
import * as fs from "node:fs";
import * as disk from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FileStore } from "./file-store.ts";

vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof disk>();
  const { open, readFile, rename, rm } = real;
  return {
    ...real,
    open: vi.fn<typeof open>(open),
    readFile: vi.fn<typeof readFile>(readFile),
    rename: vi.fn<typeof rename>(rename),
    rm: vi.fn<typeof rm>(rm),
  };
});
vi.mock("node:fs", async (original) => {
  const real = await original<typeof fs>();
  const { accessSync, openSync, watch } = real;
  return {
    ...real,
    accessSync: vi.fn<typeof accessSync>(accessSync),
    openSync: vi.fn<typeof openSync>(openSync),
    watch: vi.fn<typeof watch>(watch),
  };
});

let watches: DisposableStack;
let folder: string;
let file: string;

beforeEach(async () => {
  watches = new DisposableStack();
  folder = await disk.mkdtemp(join(tmpdir(), "davpool-disk-"));
  file = join(folder, "servers.json");
});

afterEach(async () => {
  watches.dispose();
  vi.resetAllMocks();
  await disk.rm(folder, { recursive: true });
});

const log = { debug() {}, info() {}, warn: vi.fn<Log["warn"]>(), error() {} };
const open = () =>
  new FileStore({
    file,
    pool: "files",
    primary: true,
    secretFields: [],
    clock: createManualClock(),
    random: Math.random,
    log,
  });

const naming = (activeServerId: string) => (state: StoredState) => ({ ...state, activeServerId });

function refused(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: said the system`), { code, syscall: "open", errno: -1 });
}

async function refusal(work: Promise<unknown>): Promise<StoreError> {
  const error: unknown = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(StoreError);
  return error as StoreError;
}

test.each([
  ["EACCES", "read and write the file"],
  ["EPERM", "read and write the file"],
  ["EROFS", "read-only"],
  ["ENOSPC", "free some space"],
  ["EDQUOT", "free some space"],
  ["EIO", "Look after the disk"],
])("%s while writing: named with a remedy, the old file stays, no temporary file", async (code, remedy) => {
  const store = open();
  await store.update(naming("old"));
  const before = await disk.readFile(file, "utf8");
  vi.mocked(disk.rename).mockRejectedValueOnce(refused(code));
  const error = await refusal(store.update(naming("new")));
  expect(error).toMatchObject({ code: "STORE_UNWRITABLE", details: { file, errno: code } });
  expect(error.message).toContain(file);
  expect(error.message).toContain(code);
  expect(error.message).toContain(remedy);
  expect(await disk.readFile(file, "utf8")).toBe(before);
  expect((await disk.readdir(folder)).toSorted()).toEqual(["servers.json", "servers.json.lock"]);
  expect((await store.load()).activeServerId).toBe("old");
});

test("a temporary file that cannot be removed does not hide what went wrong", async () => {
  vi.mocked(disk.rename).mockRejectedValueOnce(refused("ENOSPC"));
  vi.mocked(disk.rm).mockRejectedValueOnce(refused("EIO"));
  expect((await refusal(open().update(naming("new")))).details.errno).toBe("ENOSPC");
});

test("a file that may not be read", async () => {
  await open().update(naming("old"));
  vi.mocked(disk.readFile).mockRejectedValueOnce(refused("EACCES"));
  const error = await refusal(open().load());
  expect(error.code).toBe("STORE_UNWRITABLE");
  expect(error.message).toContain("cannot be read (EACCES)");
});

test("a lock file that may not be made, or not be written", async () => {
  vi.mocked(fs.openSync).mockImplementationOnce(() => {
    throw refused("EROFS");
  });
  expect((await refusal(open().update(naming("new")))).details.errno).toBe("EROFS");
  await open().update(naming("old"));
  vi.mocked(fs.accessSync).mockImplementationOnce(() => {
    throw refused("EACCES");
  });
  expect((await refusal(open().update(naming("new")))).details.errno).toBe("EACCES");
});

test("a damaged file that cannot be set aside is an error, and stays", async () => {
  await disk.writeFile(file, "damaged");
  vi.mocked(disk.rename).mockRejectedValueOnce(refused("EACCES"));
  const error = await refusal(open().load());
  expect(error).toMatchObject({ code: "STORE_CORRUPT", details: { file } });
  expect(error.message).toContain("EACCES");
  vi.mocked(disk.rename).mockRejectedValueOnce(new Error("odd"));
  expect((await refusal(open().load())).message).toContain("odd");
  expect(await disk.readFile(file, "utf8")).toBe("damaged");
});

/** Lets the flush of folders fail. */
function failFolderSync(error: Error): void {
  const real = vi.mocked(disk.open).getMockImplementation() as typeof disk.open;
  vi.mocked(disk.open).mockImplementation(async (path, flags, mode) => {
    if (path === folder) throw error;
    return real(path, flags, mode);
  });
}

test("a file system that cannot flush folders is written all the same", async () => {
  failFolderSync(refused("EINVAL"));
  await open().update(naming("new"));
  expect((await open().load()).activeServerId).toBe("new");
});

test("a folder that fails to be flushed is an error: the change may not survive", async () => {
  failFolderSync(refused("EIO"));
  expect((await refusal(open().update(naming("new")))).details.errno).toBe("EIO");
  vi.mocked(disk.open).mockReset();
  failFolderSync(new Error("odd"));
  await expect(open().update(naming("new"))).rejects.toThrow("odd");
});

test("a folder that cannot be watched is said once; the store works on", () => {
  vi.mocked(fs.watch).mockImplementationOnce(() => {
    throw refused("ENOSPC");
  });
  log.warn.mockClear();
  watches.use(open().watch(() => undefined));
  expect(log.warn).toHaveBeenCalledExactlyOnceWith(expect.stringContaining("cannot be watched"), expect.anything());
});

test("a watch that breaks off is said once; the store works on", () => {
  log.warn.mockClear();
  watches.use(open().watch(() => undefined));
  const watcher = vi.mocked(fs.watch).mock.results.at(-1)?.value as fs.FSWatcher;
  watcher.emit("error", refused("EIO"));
  expect(log.warn).toHaveBeenCalledExactlyOnceWith(expect.stringContaining("cannot be watched"), expect.anything());
});
