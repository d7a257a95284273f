import { StoreError, type Clock } from "@davpool/core";
import { accessSync, closeSync, constants, openSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { errorCode } from "./disk-error.ts";

/** Milliseconds to wait for other processes that change a file. */
export const LOCK_LIMIT = 10_000;
const SQLITE_BUSY = 5;

export interface LockOptions {
  readonly clock: Clock;
  /** Random numbers in [0, 1), so that those who wait do not all come back at the same moment. */
  readonly random: () => number;
  /** Milliseconds after which waiting ends with an error. */
  readonly limit: number;
}

/**
 * Runs `work` while no other process, and nobody else in this one, holds the lock on `file`.
 *
 * Node has no file locks of its own; SQLite has, and takes them from the kernel. So the lock goes with the process
 * that holds it, however that process ends, and there is no such thing as a stale lock. The lock file stays: whoever
 * deleted it could make two others lock two different files.
 *
 * @throws StoreError `STORE_LOCKED` when others hold the lock for too long.
 */
export async function withLock<T>(file: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  createLockFile(file);
  // Imported late because Node 22 prints a warning when it is.
  const { DatabaseSync } = await import("node:sqlite");
  const database = unlessRefused(file, () => new DatabaseSync(file, { timeout: 0 }));
  try {
    const { clock, random, limit } = options;
    const end = clock.now() + limit;
    while (!unlessRefused(file, () => tryLock(database))) {
      if (clock.now() >= end) {
        throw new StoreError(
          "STORE_LOCKED",
          `Another process has held the lock ${file} for more than ${String(limit / 1_000)} seconds, so nothing was saved. Find it (for example with "fuser ${file}"), end it if it hangs, and try again.`,
          { details: { file } },
        );
      }
      await pause(clock, 2 + 18 * random());
    }
    return await work();
  } finally {
    database.close();
  }
}

/**
 * Never opens a lock file that exists: when a process closes a file, the kernel drops every lock the process has on
 * it, whoever in it took them. SQLite takes care of that between its own connections.
 */
function createLockFile(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
    // SQLite would fall back to a shared lock on a file that it cannot write.
    accessSync(file, constants.R_OK | constants.W_OK);
  }
}

function tryLock(database: DatabaseSync): boolean {
  try {
    // Without the pragma SQLite makes a journal beside the lock file, though there is nothing to put into it.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return true;
  } catch (error) {
    if (((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY) return false;
    throw error;
  }
}

function unlessRefused<T>(file: string, take: () => T): T {
  try {
    return take();
  } catch (error) {
    throw new StoreError(
      "STORE_UNWRITABLE",
      `${file} cannot be locked (${(error as Error).message}), so nothing was saved. If it is not a lock file of davpool's, move it away; if its file system has no locks, set DAV_SERVERS_FILE to a place on another one.`,
      { cause: error, details: { file } },
    );
  }
}

async function pause(clock: Clock, ms: number): Promise<void> {
  // The clock keeps no process alive, and a process must not end in the middle of a change only because it waits.
  const alive = setInterval(() => undefined, 2 ** 30);
  try {
    await new Promise<void>((resolve) => {
      clock.after(ms, resolve);
    });
  } finally {
    clearInterval(alive);
  }
}
