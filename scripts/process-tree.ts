import { readFileSync } from "node:fs";

/** Kills a process and all that it has started, directly or not. */
export function killTree(pid: number): void {
  const children = childrenOf(pid);
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended in the meantime.
  }
  for (const child of children) killTree(child);
}

/** The processes that a process has started; none where the system is not Linux. */
export function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
