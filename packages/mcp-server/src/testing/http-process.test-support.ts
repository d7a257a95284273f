import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BIN, temporaryFolder } from "./davpool-process.test-support.ts";

export interface HttpProcess extends AsyncDisposable {
  /** The endpoint. */
  readonly url: string;
  /** Writes the configuration anew. */
  write(config: object): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** Resolves when a log line that holds `text` is written, from now on. */
  logged(text: string): Promise<void>;
  readonly exit: Promise<number>;
}

/** Runs `davpool serve --http` as an operator would, on a free port. */
export async function startHttpProcess(config: object, ...parameters: readonly string[]): Promise<HttpProcess> {
  const folder = await temporaryFolder();
  const write = (written: object) => writeFile(join(folder.path, "davpool.config.json"), JSON.stringify(written));
  await write(config);
  const child = spawn(process.execPath, [BIN, "serve", "--http", "--port", "0", ...parameters], {
    cwd: folder.path,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  const looking = new Set<() => void>();
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
    for (const look of looking) look();
  });
  const exit = once(child, "exit").then(([code]) => code as number);
  const close = async () => {
    child.kill("SIGKILL");
    await exit;
    await folder[Symbol.asyncDispose]();
  };
  const found = <T>(look: () => T | undefined): Promise<T> =>
    new Promise((resolve, reject) => {
      const again = () => {
        const value = look();
        if (value === undefined) return;
        looking.delete(again);
        resolve(value);
      };
      looking.add(again);
      again();
      void exit.then(() => reject(new Error(`davpool ended:\n${stderr}`)));
    });
  try {
    return {
      url: await found(() => /at (http:\/\/\S+\/mcp)\./.exec(stderr)?.[1]),
      write,
      kill: (signal) => void child.kill(signal),
      async logged(text) {
        const from = stderr.length;
        await found(() => (stderr.includes(text, from) ? true : undefined));
      },
      exit,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
