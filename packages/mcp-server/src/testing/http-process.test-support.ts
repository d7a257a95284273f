import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { BIN, temporaryFolder } from "./davpool-process.test-support.ts";

export interface HttpProcess extends AsyncDisposable {
  /** The endpoint. */
  readonly url: string;
}

/** Runs `davpool serve --http` as an operator would, on a free port. */
export async function startHttpProcess(config: object): Promise<HttpProcess> {
  const folder = await temporaryFolder();
  await writeFile(join(folder.path, "davpool.config.json"), JSON.stringify(config));
  const child = spawn(process.execPath, [BIN, "serve", "--http", "--port", "0"], {
    cwd: folder.path,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exit = once(child, "exit");
  const close = async () => {
    child.kill();
    await exit;
    await folder[Symbol.asyncDispose]();
  };
  const lines: string[] = [];
  let url: string | undefined;
  for await (const line of createInterface({ input: child.stderr })) {
    lines.push(line);
    [, url] = /at (http:\S+\/mcp)\./.exec(line) ?? [];
    if (url !== undefined) break;
  }
  if (url === undefined) {
    await close();
    throw new Error(`davpool did not start:\n${lines.join("\n")}`);
  }
  // What is logged from here on is read by nobody, and must not hold it up.
  child.stderr.resume();
  return { url, [Symbol.asyncDispose]: close };
}
