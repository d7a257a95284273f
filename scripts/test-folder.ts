import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childrenOf, killTree } from "./process-tree.ts";

/**
 * Makes a run of the tests leave nothing behind. Its temporary files are in one folder, which is removed when the run
 * ends, whether tests failed, hung or were interrupted.
 */
export default function setup(): void {
  const folder = mkdtempSync(join(tmpdir(), "davpool-tests-"));
  // Servers that run as another user read below it.
  chmodSync(folder, 0o755);
  // `os.tmpdir()` of the workers follows it.
  process.env.TMPDIR = folder;
  process.once("exit", () => {
    // An interrupted run still has workers, whose processes would write on.
    for (const child of childrenOf(process.pid)) killTree(child);
    rmSync(folder, { recursive: true, force: true });
  });
}
