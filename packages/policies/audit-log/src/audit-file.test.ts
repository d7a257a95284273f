import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { open, readFile, rename, rm, symlink, truncate, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { createManualClock, type Pool } from "@davpool/core";
import { createWebDavServer } from "@davpool/testkit";
import type { WebDavResponse, WebDavWire } from "@davpool/transport-webdav";
import { describe, expect, test } from "vitest";
import { AuditFile } from "./audit-file.ts";
import { linesOf, openAudited, recordingLog, temporaryFolder } from "./testing/open-pools.test-support.ts";

/** A disk that is always full. */
const FULL = "/dev/full";
const PAUSE = 1_000;

/** An audit file in a folder of its own, whose lines are numbers. */
async function openFile(prepare: (path: string) => unknown = () => undefined) {
  const folder = await temporaryFolder();
  const path = join(folder.path, "audit.jsonl");
  await prepare(path);
  const clock = createManualClock();
  const { log, ...recording } = recordingLog();
  const file = new AuditFile({ path, clock, log, lostLine: (lost) => `${JSON.stringify({ lost })}\n` });
  await file.open();
  let number = 0;
  return {
    ...recording,
    clock,
    path,
    file,
    append: (filler = "") => file.append(`${JSON.stringify({ number: ++number, ...(filler && { filler }) })}\n`),
    async [Symbol.asyncDispose]() {
      await file[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

const numbers = (lines: readonly Record<string, unknown>[]) => lines.map(({ number, lost }) => number ?? { lost });

describe("the file", () => {
  test("is made anew when it is renamed or removed, as logrotate does", async () => {
    await using opened = await openFile();
    const { path, append } = opened;
    append();
    await linesOf(path, 1);
    await rename(path, `${path}.1`);
    append();
    expect(numbers(await linesOf(path, 1))).toEqual([2]);
    await rm(path);
    append();
    expect(numbers(await linesOf(path, 1))).toEqual([3]);
    expect(numbers(await linesOf(`${path}.1`, 1))).toEqual([1]);
  });

  test("goes on from its beginning when it is emptied, as copytruncate does", async () => {
    await using opened = await openFile();
    opened.append();
    await linesOf(opened.path, 1);
    await truncate(opened.path);
    opened.append();
    expect(numbers(await linesOf(opened.path, 1))).toEqual([2]);
  });

  test("has every line in order, and all of them once it is closed", async () => {
    await using opened = await openFile();
    for (let line = 0; line < 10_000; line++) opened.append();
    await opened.file[Symbol.asyncDispose]();
    opened.append();
    const lines = await linesOf(opened.path, 1);
    expect(numbers(lines)).toEqual(Array.from({ length: 10_000 }, (_, index) => index + 1));
    expect([opened.lines, opened.clock.pending]).toEqual([[], 0]);
  });
});

describe.skipIf(!existsSync(FULL))("a full disk", () => {
  const replaceByFile = async (path: string) => {
    await symlink("audit.real", `${path}.new`);
    await rename(`${path}.new`, path);
  };

  test("is told of once; lines wait, and are written when there is room", async () => {
    await using opened = await openFile((path) => symlink(FULL, path));
    const { append, logged, clock, lines, path } = opened;
    append();
    await logged("ENOSPC");
    append();
    clock.advance(PAUSE);
    append();
    // It is tried again, in vain.
    while (clock.pending === 0) await setImmediate();
    await replaceByFile(path);
    clock.advance(PAUSE);
    await logged("written again");
    expect(numbers(await linesOf(path, 3))).toEqual([1, 2, 3]);
    expect(lines).toEqual([
      expect.stringContaining("error The audit log is not written as it should be: ENOSPC"),
      "info The audit log is written again; 0 lines were lost meanwhile.",
    ]);
  });

  test("loses lines beyond what may wait, and the log says how many, in the right place", async () => {
    await using opened = await openFile((path) => symlink(FULL, path));
    const { append, logged, clock, path } = opened;
    const filler = "x".repeat(2 ** 20);
    for (let line = 0; line < 6; line++) append(filler);
    await logged("ENOSPC");
    expect(clock.pending).toBe(1);
    await replaceByFile(path);
    clock.advance(PAUSE);
    await logged("written again; 3 lines were lost");
    append();
    expect(numbers(await linesOf(path, 5))).toEqual([1, 2, 3, { lost: 3 }, 7]);
  });

  test("does not keep the file from being closed; what is lost is counted", async () => {
    await using opened = await openFile((path) => symlink(FULL, path));
    for (let line = 0; line < 3; line++) opened.append();
    await opened.logged("ENOSPC");
    await opened.file[Symbol.asyncDispose]();
    expect(opened.lines.at(-1)).toBe("error 3 lines still waited for the audit log and are lost.");
    expect(opened.clock.pending).toBe(0);
  });

  test("refuses calls where the log is required, until it is written again, and disturbs none elsewhere", async () => {
    await using server = await createWebDavServer();
    await using folder = await temporaryFolder();
    const path = join(folder.path, "audit.jsonl");
    await symlink(FULL, path);
    const pool = { transport: "webdav", servers: [{ serverId: "s1", url: server.url }] };
    const options = { required: true };
    await using audited = await openAudited({ pools: { files: pool }, options, folder: folder.path });
    await using other = await openAudited({ pools: { files: pool }, folder: folder.path });
    const get = ({ open }: typeof audited) =>
      (open.pools.get("files") as Pool<WebDavWire>).execute(
        { method: "GET", path: "/" },
        { consume: ({ status, body }: WebDavResponse) => body.text().then(() => status) },
      );
    for (const each of [audited, other]) {
      expect((await get(each)).value).toBe(200);
      await each.logged("ENOSPC");
    }
    await expect(get(audited)).rejects.toMatchObject({
      code: "POLICY_DENIED",
      message: expect.stringMatching(/^GET is not allowed: the audit log of pool "files" cannot be written/) as string,
    });
    expect((await get(other)).value).toBe(200);
    await replaceByFile(path);
    audited.clock.advance(PAUSE);
    await audited.logged("written again");
    expect((await get(audited)).value).toBe(200);
    const outcomes = (await audited.written()).map(({ outcome }) => outcome);
    expect(outcomes).toEqual(["ok", "denied", "ok"]);
  });
});

describe("a disk that is slow", () => {
  /** A pipe takes 64 KiB, and then nothing until somebody reads it. */
  async function openPipe() {
    let reader: FileHandle | undefined;
    const opened = await openFile(async (path) => {
      execFileSync("mkfifo", [path]);
      reader = await open(path, "r+");
    });
    return { ...opened, reader: reader as FileHandle, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
  }

  test("holds up nobody; lines beyond what may wait are lost, and counted", async () => {
    await using opened = await openPipe();
    const { append, reader, logged } = opened;
    const filler = "x".repeat(2 ** 20);
    for (let line = 0; line < 6; line++) append(filler);
    expect(opened.lines).toEqual([expect.stringContaining("more calls end than the disk takes")]);
    let text = "";
    const again = logged("written again; 3 lines were lost");
    const chunk = Buffer.alloc(2 ** 20);
    while (text.split("\n").length < 4) {
      const { bytesRead } = await reader.read(chunk);
      text += chunk.toString("utf8", 0, bytesRead);
    }
    await again;
    append();
    await reader.read(chunk).then(({ bytesRead }) => (text += chunk.toString("utf8", 0, bytesRead)));
    const lines = text.trimEnd().split("\n");
    expect(numbers(lines.map((line) => JSON.parse(line) as Record<string, unknown>))).toEqual([
      1,
      2,
      3,
      { lost: 3 },
      7,
    ]);
    await reader.close();
  });

  test("is waited for a few seconds when the file is closed", async () => {
    await using opened = await openPipe();
    opened.append("x".repeat(2 ** 20));
    opened.append();
    const closed = opened.file[Symbol.asyncDispose]();
    opened.clock.advance(3_000);
    await closed;
    expect(opened.lines).toEqual(["error 2 lines still waited for the audit log and are lost."]);
    await opened.reader.close();
  });

  test("and breaks off leaves no part of a line in the file that takes its place", async () => {
    await using opened = await openPipe();
    const { append, reader, path, clock, logged } = opened;
    append("x".repeat(2 ** 20));
    append();
    await reader.read(Buffer.alloc(1_000));
    await rename(path, `${path}.1`);
    await reader.close();
    await logged("EPIPE");
    clock.advance(PAUSE);
    expect(numbers(await linesOf(path, 2))).toEqual([1, 2]);
    expect((await readFile(path, "utf8")).startsWith('{"number":1')).toBe(true);
  });
});
