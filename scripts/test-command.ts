import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { bundleCommand } from "./bundle-command.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The file to run for `davpool`. */
    davpool: string;
  }
}

/** Makes the command that tests start, once for all of them and in one piece, as users have it. */
export default async function setup(project: TestProject): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "davpool-command-"));
  project.provide("davpool", await bundleCommand(folder));
  project.onTestsRerun(async () => void (await bundleCommand(folder)));
}
