import { execFileSync } from "node:child_process";
import { chown } from "node:fs/promises";
import { userInfo } from "node:os";

/** Whom Debian's servers run as when root starts them. */
export const SERVER_USER = "www-data";

export function isRoot(): boolean {
  return userInfo().uid === 0;
}

/** Started by root a server drops to its own user, who must be able to write. */
export async function handOver(...folders: readonly string[]): Promise<void> {
  if (!isRoot()) return;
  const id = (flag: string) => Number(execFileSync("id", [flag, SERVER_USER], { encoding: "utf8" }));
  const [uid, gid] = [id("-u"), id("-g")];
  for (const folder of folders) await chown(folder, uid, gid);
}
