import { StoreError } from "@davpool/core";

const ELSEWHERE = "set DAV_SERVERS_FILE, or the store's option `path`, to another place";
const PERMISSION = `Let the user that runs davpool read and write the file and its folder, or ${ELSEWHERE}.`;

const REMEDIES: Readonly<Record<string, string>> = {
  EACCES: PERMISSION,
  EPERM: PERMISSION,
  EROFS: `The file system is read-only: ${ELSEWHERE}, or use the store "memory".`,
  ENOSPC: "The disk is full: free some space and try again.",
  EDQUOT: "The quota is used up: free some space and try again.",
  EEXIST: `A part of the path is a file and not a folder: ${ELSEWHERE}.`,
  ENOTDIR: `A part of the path is a file and not a folder: ${ELSEWHERE}.`,
  EISDIR: `The path is a folder and not a file: ${ELSEWHERE}.`,
};

/**
 * Runs something that touches the disk.
 * @param file named in the error.
 * @throws StoreError `STORE_UNWRITABLE` for what the operating system refuses; everything else as it is.
 */
export async function onDisk<T>(file: string, wish: "read" | "written", work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const errno = errorCode(error);
    if (errno === undefined) throw error;
    const remedy = REMEDIES[errno] ?? "Look after the disk and try again.";
    throw new StoreError("STORE_UNWRITABLE", `The store file ${file} cannot be ${wish} (${errno}). ${remedy}`, {
      cause: error,
      details: { file, errno },
    });
  }
}

/** The operating system's code of an error, such as `ENOENT`; undefined when something else threw it. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("syscall" in error) || !("code" in error)) return undefined;
  return String(error.code);
}
