import type { Clock, Log } from "@davpool/core";
import { existsSync, watch, type FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";

/** Milliseconds in which the several events of one change are taken together. */
export const COALESCE = 50;

/**
 * Tells when a file may have changed, been made or been removed. File and folder need not exist yet. The first call
 * comes soon after the start, for what happened before. Does not keep a process alive.
 *
 * @param changed must not throw.
 */
export function watchFile(file: string, clock: Clock, log: Log, changed: () => void): Disposable {
  const folder = dirname(file);
  let watcher: FSWatcher | undefined;
  let due: Disposable | undefined;

  function soon(): void {
    due ??= clock.after(COALESCE, () => {
      due = undefined;
      changed();
    });
  }

  function stop(error: unknown): void {
    watcher?.close();
    watcher = undefined;
    log.warn(`Changes that other processes make to ${file} are not seen: it cannot be watched.`, {
      file,
      cause: error,
    });
  }

  /** Watches the folder or, until it is there, the nearest one above it. */
  function start(): void {
    watcher?.close();
    const watched = nearest(folder);
    const above = watched !== folder;
    try {
      watcher = watch(watched, { persistent: false }, (_event, name) => {
        // An event about the watched folder itself bears its own name: it was removed or renamed.
        if (name === basename(watched) || (above && nearest(folder) !== watched)) start();
        else if (name === basename(file) || name === null) soon();
      }).on("error", stop);
    } catch (error) {
      stop(error);
      return;
    }
    // It may have come between looking and watching.
    if (above && nearest(folder) !== watched) start();
    else soon();
  }

  start();
  return {
    [Symbol.dispose]() {
      watcher?.close();
      watcher = undefined;
      due?.[Symbol.dispose]();
    },
  };
}

function nearest(folder: string): string {
  const parent = dirname(folder);
  return existsSync(folder) || parent === folder ? folder : nearest(parent);
}
