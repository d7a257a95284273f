import { lstatSync, readlinkSync, realpathSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { errorCode } from "./disk-error.ts";

/**
 * The file that a path leads to, through symbolic links, so that those stay links when it is replaced. It need not be
 * there yet, also at the end of a link.
 */
export function targetOf(file: string): string {
  try {
    return realpathSync(file);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
    // Links that go round in circles have another code.
    return isLink(file) ? targetOf(resolve(dirname(file), readlinkSync(file))) : file;
  }
}

function isLink(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}
