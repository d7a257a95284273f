import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Where Debian puts servers, which a user's PATH may leave out. */
const SYSTEM = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/** The program's full path, or undefined when it is not installed. */
export function findProgram(name: string): string | undefined {
  for (const folder of [...(process.env.PATH ?? "").split(delimiter), ...SYSTEM]) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/**
 * Whether tests that need this program must be skipped. On a CI machine nothing is skipped in silence.
 * @throws Error when the program is missing and the environment variable `CI` is set.
 */
export function missingProgram(name: string): boolean {
  if (findProgram(name) !== undefined) return false;
  if (process.env.CI)
    throw new Error(`${name} is not installed, and CI runs every test. Install it with the system's package manager.`);
  return true;
}
