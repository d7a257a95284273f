import { readlinkSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

/** Links that may lead to links, before it is taken for a circle. */
const MOST_LINKS = 40;

/**
 * The folders in which something happens when a file changes, is replaced, or when a link on the way to it comes to lead
 * elsewhere: its own, and that of every such link. None of them need exist.
 */
export function watchedFolders(file: string): ReadonlySet<string> {
  const folders = new Set<string>();
  let path = file;
  for (let links = 0; links < MOST_LINKS; links++) {
    folders.add(dirname(path));
    const link = firstLink(path);
    if (!link) break;
    folders.add(dirname(link.at));
    path = join(resolve(dirname(link.at), link.to), relative(link.at, path));
  }
  return folders;
}

/** The part of a path, nearest to the file, that is a symbolic link. */
function firstLink(path: string): { readonly at: string; readonly to: string } | undefined {
  for (let at = path; dirname(at) !== at; at = dirname(at)) {
    try {
      return { at, to: readlinkSync(at) };
    } catch {
      // No link, or not there.
    }
  }
  return undefined;
}
