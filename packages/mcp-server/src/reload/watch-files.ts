import { describeError, type Clock, type Log } from "@davpool/core";
import { readFileSync, statSync, watch, type FSWatcher } from "node:fs";
import { watchedFolders } from "./watched-folders.ts";

/** Milliseconds for which files must have stayed the same, so that none is read while it is being written. */
export const SETTLE = 100;

/** Milliseconds between two looks at files that the platform cannot watch. */
export const POLL = 2_000;

export interface FileWatch extends Disposable {
  /** Takes in files that are watched from now on. */
  refresh(): void;
}

interface WatchedFolder {
  readonly watcher: FSWatcher;
  /** Of the folder: another one may take its name. */
  readonly inode: bigint;
}

/**
 * Tells when what some files say has changed and stays as it is: written anew, replaced by another file, or reached by
 * a link that leads elsewhere, as Kubernetes does with mounted configuration. What is written again as it was is no
 * change. Does not keep a process alive.
 *
 * @param files asked anew every time; what joins them is compared with what it said then.
 * @param changed must not throw.
 */
export function watchFiles(
  files: () => readonly string[],
  { clock, log }: { readonly clock: Clock; readonly log: Log },
  changed: () => void,
): FileWatch {
  const folders = new Map<string, WatchedFolder>();
  const texts = new Map<string, string>();
  let unsettled = false;
  let due: Disposable | undefined;
  let poll: Disposable | undefined;
  let complained = false;
  let stopped = false;

  function soon(): void {
    if (!stopped) due ??= clock.after(SETTLE, look, { background: true });
  }

  function look(): void {
    due = undefined;
    refresh();
    if (readTexts()) {
      unsettled = true;
      soon();
    } else if (unsettled) {
      unsettled = false;
      changed();
    }
  }

  /** True when a file says something else than before. */
  function readTexts(): boolean {
    let different = false;
    const current = new Set(files());
    for (const file of texts.keys()) if (!current.has(file)) texts.delete(file);
    for (const file of current) {
      const text = textOf(file);
      different ||= (texts.get(file) ?? text) !== text;
      texts.set(file, text);
    }
    return different;
  }

  /** Watches the folders that matter now; looks from time to time where that cannot be done. */
  function refresh(): void {
    const wanted = new Set(files().flatMap((file) => [...watchedFolders(file)]));
    for (const [folder, { watcher }] of folders)
      if (!wanted.has(folder)) {
        watcher.close();
        folders.delete(folder);
      }
    const problems = [...wanted].map(watchFolder).filter((problem) => problem !== undefined);
    poll?.[Symbol.dispose]();
    poll = undefined;
    if (problems.length === 0) return;
    if (!complained)
      log.warn(`Some files cannot be watched and are looked at every ${POLL} ms: ${describeError(problems[0])}`);
    complained = true;
    poll = clock.after(POLL, look, { background: true });
  }

  /** Returns why it cannot be watched. */
  function watchFolder(folder: string): unknown {
    const known = folders.get(folder);
    try {
      const inode = statSync(folder, { bigint: true }).ino;
      if (known?.inode === inode) return undefined;
      known?.watcher.close();
      const watcher = watch(folder, { persistent: false }, soon).on("error", (error) => {
        watcher.close();
        folders.delete(folder);
        log.debug(`Watching ${folder} failed.`, { error: describeError(error) });
        soon();
      });
      folders.set(folder, { watcher, inode });
      return undefined;
    } catch (error) {
      known?.watcher.close();
      folders.delete(folder);
      return error;
    }
  }

  function start(): void {
    if (stopped) return;
    refresh();
    if (readTexts()) unsettled = true;
    if (unsettled) soon();
  }

  start();
  return {
    refresh: start,
    [Symbol.dispose]() {
      stopped = true;
      due?.[Symbol.dispose]();
      poll?.[Symbol.dispose]();
      for (const { watcher } of folders.values()) watcher.close();
      folders.clear();
    },
  };
}

/** Nothing where there is no such file, or none that can be read: whoever reads it then says so. */
function textOf(file: string): string {
  try {
    return `:${readFileSync(file, "utf8")}`;
  } catch {
    return "";
  }
}
