import { createManualClock } from "@davpool/core";
import { watch as watchFolder } from "node:fs";
import { mkdir, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../testing/davpool-process.test-support.ts";
import { recordingLog, startReloading, type Reloading } from "./reloading.test-support.ts";
import { POLL, SETTLE, watchFiles } from "./watch-files.ts";
import { watchedFolders } from "./watched-folders.ts";

const config = (reloading: Reloading, ...servers: readonly number[]) => ({
  store: "memory",
  pools: { files: { transport: "webdav", servers: reloading.servers(...servers) } },
});
const ids = ({ pool }: Reloading) => pool.list().map((server) => server.serverId);

describe("a watched configuration", () => {
  test("is reloaded when its file is written", async () => {
    await using reloading = await startReloading();
    using _ = reloading.reloader.watch();
    await reloading.write(config(reloading, 1, 3));
    expect(await reloading.next("reloaded")).toBe(
      "The configuration was reloaded (the file changed): pool files has other servers.",
    );
    expect(ids(reloading)).toEqual(["server-1", "server-3"]);
  });

  test("is reloaded when another file takes the place of its own, as editors do", async () => {
    await using reloading = await startReloading();
    using _ = reloading.reloader.watch();
    for (const server of [2, 3, 1]) {
      const fresh = join(reloading.folder, "4913~");
      await writeFile(fresh, JSON.stringify(config(reloading, server)));
      await rename(fresh, reloading.file);
      await reloading.next("reloaded");
      expect(ids(reloading)).toEqual([`server-${server}`]);
    }
  });

  test("is reloaded when a link on the way to it leads elsewhere, as Kubernetes does", async () => {
    await using reloading = await startReloading({ name: "..one/davpool.config.json" });
    const { folder, file } = reloading;
    // The file that is configured is a link through a link: config -> ..data/config, ..data -> ..one
    await using other = await temporaryFolder();
    const mounted = join(other.path, "davpool.config.json");
    await mkdir(join(other.path, "..one"));
    await rename(file, join(other.path, "..one/davpool.config.json"));
    await symlink("..one", join(other.path, "..data"));
    await symlink("..data/davpool.config.json", mounted);
    await symlink(mounted, file);
    expect(watchedFolders(mounted)).toEqual(
      new Set([other.path, join(other.path, "..data"), join(other.path, "..one")]),
    );
    using _ = reloading.reloader.watch();
    for (const [name, server] of [["..two", 3] as const, ["..three", 2] as const]) {
      await mkdir(join(other.path, name));
      await writeFile(join(other.path, name, "davpool.config.json"), JSON.stringify(config(reloading, server)));
      await symlink(name, join(other.path, "..data_tmp"));
      await rename(join(other.path, "..data_tmp"), join(other.path, "..data"));
      await reloading.next("reloaded");
      expect(ids(reloading)).toEqual([`server-${server}`]);
    }
    expect(dirname(file)).toBe(join(folder, "..one"));
  });

  test("that is wrong for a while is reported, and reloaded when it is right", async () => {
    await using reloading = await startReloading();
    using _ = reloading.reloader.watch();
    await writeFile(reloading.file, "{");
    expect(await reloading.next("not reloaded")).toContain("cannot be loaded");
    await unlink(reloading.file);
    expect(await reloading.next("not reloaded")).toContain("does not exist");
    await reloading.write(config(reloading, 2));
    await reloading.next("was reloaded");
    expect(ids(reloading)).toEqual(["server-2"]);
  });

  test("ends with what its file said last, however fast it changes", async () => {
    await using reloading = await startReloading();
    using _ = reloading.reloader.watch();
    const fresh = join(reloading.folder, "4913~");
    for (let turn = 0; turn <= 40; turn++) {
      void reloading.reloader.reload("meanwhile");
      // As a whole: one that is asked for by hand would find half a file.
      await writeFile(fresh, JSON.stringify(config(reloading, turn === 40 ? 3 : 1 + (turn % 2))));
      await rename(fresh, reloading.file);
    }
    while (ids(reloading).join() !== "server-3") await reloading.next("reloaded");
    expect(reloading.lines.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("does not look at files beside it, such as the one in which servers are kept", async () => {
    const clock = createManualClock();
    await using reloading = await startReloading({ clock });
    using watch = reloading.reloader.watch();
    let asked = 0;
    const reload = reloading.reloader.reload.bind(reloading.reloader);
    reloading.reloader.reload = (reason) => {
      asked++;
      return reload(reason);
    };
    const beside = recordingEvents(reloading.folder);
    await writeFile(join(reloading.folder, "servers.json"), "{}");
    await beside.seen("servers.json");
    clock.advance(10 * SETTLE);
    expect(asked).toBe(0);
    watch[Symbol.dispose]();
  });

  test("that is none says so", async () => {
    await using reloading = await startReloading();
    const { reloader, open } = reloading;
    Object.defineProperty(open, "config", { value: { ...open.config, file: undefined } });
    reloader.watch()[Symbol.dispose]();
    expect(reloading.lines.at(-1)?.message).toContain("no configuration file to watch");
  });
});

/** For knowing that the platform has told of a change. */
function recordingEvents(folder: string) {
  const { log, next } = recordingLog();
  const names: string[] = [];
  const watcher = watchFolder(folder, (_event, name) => {
    names.push(String(name));
    log.info(String(name));
  });
  return {
    async seen(name: string) {
      await next(name);
      watcher.close();
    },
  };
}

describe("watched files", () => {
  async function watching(names: readonly string[]) {
    const folder = await temporaryFolder();
    const clock = createManualClock();
    const recording = recordingLog();
    const files = names.map((name) => join(folder.path, name));
    let changes = 0;
    const watch = watchFiles(
      () => files,
      { clock, log: recording.log },
      () => void changes++,
    );
    return {
      ...recording,
      clock,
      files,
      watch,
      folder: folder.path,
      changes: () => changes,
      async [Symbol.asyncDispose]() {
        watch[Symbol.dispose]();
        await folder[Symbol.asyncDispose]();
      },
    };
  }

  test("in a folder that is not there are looked at from time to time", async () => {
    await using watched = await watching(["gone/one.json", "gone/two.json"]);
    const { clock, files, changes, lines } = watched;
    clock.advance(10 * POLL);
    expect([changes(), lines.length]).toEqual([0, 1]);
    expect(lines[0]).toMatchObject({ level: "warn", message: expect.stringContaining("looked at every 2000 ms") });
    await mkdir(join(watched.folder, "gone"));
    await writeFile(files[0] as string, "1");
    clock.advance(POLL);
    expect(changes()).toBe(0);
    clock.advance(SETTLE);
    expect(changes()).toBe(1);
    clock.advance(10 * POLL);
    expect([changes(), clock.pending]).toEqual([1, 0]);
  });

  test("are told of once they stay the same", async () => {
    await using watched = await watching(["gone/one.json"]);
    const { clock, files, changes } = watched;
    await mkdir(join(watched.folder, "gone"));
    await writeFile(files[0] as string, "1");
    clock.advance(POLL);
    for (const text of ["2", "3", "4"]) {
      await writeFile(files[0] as string, text);
      clock.advance(SETTLE);
    }
    expect(changes()).toBe(0);
    clock.advance(SETTLE);
    expect(changes()).toBe(1);
  });

  test("that join are compared with what they said then", async () => {
    await using watched = await watching(["gone/one.json"]);
    const { clock, files, folder, watch, changes } = watched;
    const joins = join(folder, "joins.json");
    await writeFile(joins, "1");
    files.push(joins);
    watch.refresh();
    clock.advance(POLL + SETTLE);
    expect(changes()).toBe(0);
    await rm(joins);
    clock.advance(POLL);
    clock.advance(SETTLE);
    expect(changes()).toBe(1);
  });

  test("are left alone once nobody watches", async () => {
    await using watched = await watching(["gone/one.json"]);
    watched.watch[Symbol.dispose]();
    watched.watch.refresh();
    expect(watched.clock.pending).toBe(0);
  });
});

test("links in a circle end", async () => {
  await using folder = await temporaryFolder();
  await symlink("b", join(folder.path, "a"));
  await symlink("a", join(folder.path, "b"));
  expect(watchedFolders(join(folder.path, "a"))).toEqual(new Set([folder.path]));
});
