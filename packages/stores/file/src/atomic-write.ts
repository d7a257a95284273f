import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errorCode } from "./disk-error.ts";

const LEFTOVER = /^\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;

/** What a platform or file system answers that cannot flush a folder; there is nothing better to do there. */
const NO_FOLDER_SYNC = new Set(["EINVAL", "ENOTSUP", "EPERM", "EISDIR"]);

/**
 * Replaces a file, readable by its owner alone. Whoever reads it, and whenever the process is killed, finds the old
 * content or the new one.
 *
 * @param durable flush file and folder, so that the new content survives a power failure once this has resolved.
 */
export async function writeAtomic(file: string, text: string, durable: boolean): Promise<void> {
  const temporary = `${file}.${randomUUID()}.tmp`;
  try {
    const handle = await open(temporary, "wx", 0o600);
    try {
      await handle.writeFile(text);
      if (durable) await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    // What went wrong first is what matters; a temporary file that stays behind is removed later.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
  if (durable) await syncFolder(dirname(file));
}

/** Makes a folder, and those above it, for its owner alone. Does nothing when it is there. */
export async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made));
}

/** Removes the temporary files of writers that were killed. Only while nobody else can be writing `file`. */
export async function removeLeftovers(file: string): Promise<void> {
  const folder = dirname(file);
  const name = basename(file);
  for (const entry of await readdir(folder))
    if (entry.startsWith(name) && LEFTOVER.test(entry.slice(name.length)))
      await rm(join(folder, entry), { force: true });
}

/** Flushes a folder, which makes a rename in it survive a power failure. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!NO_FOLDER_SYNC.has(errorCode(error) ?? "")) throw error;
  }
}
