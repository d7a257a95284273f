import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** A server that speaks MCP over HTTP, in a process of its own. */
export interface McpProcess extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
}

const SMALLEST = new URL("smallest-server.ts", import.meta.url);
const UPSTREAM = new URL("upstream-server.ts", import.meta.url);
const PASS_THROUGH = new URL("pass-through.ts", import.meta.url);
export const DAVPOOL = fileURLToPath(new URL("bin.ts", import.meta.resolve("@davpool/mcp-server")));

/** The command that serves a file over standard input and output. */
export function smallestOverStdio(file: string): readonly string[] {
  return [fileURLToPath(SMALLEST), "stdio", file];
}

/** The command of the server with many tools. */
export function upstreamOverStdio(): readonly string[] {
  return [process.execPath, fileURLToPath(UPSTREAM), "stdio"];
}

/** The command of the smallest gateway before it. */
export function passThroughOverStdio(): readonly string[] {
  return [process.execPath, fileURLToPath(PASS_THROUGH), "stdio", ...upstreamOverStdio()];
}

export function startSmallest(how: "sessions" | "stateless", file: string): Promise<McpProcess> {
  return startServer(SMALLEST, how, file);
}

export function startUpstream(): Promise<McpProcess> {
  return startServer(UPSTREAM, "sessions");
}

/** @param upstream the address of the server behind it. */
export function startPassThrough(upstream: string): Promise<McpProcess> {
  return startServer(PASS_THROUGH, "sessions", upstream);
}

/** Runs a program that sends its port, and ends when it is let go. */
async function startServer(program: URL, ...parameters: readonly string[]): Promise<McpProcess> {
  const child = fork(program, parameters, { execArgv: [] });
  const gone = once(child, "exit");
  const [port] = (await Promise.race([once(child, "message"), endedEarly(gone)])) as [number];
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    pid: child.pid as number,
    [Symbol.asyncDispose]: async () => {
      if (child.connected) child.disconnect();
      await gone;
    },
  };
}

/** A folder with a configuration in it. */
export async function configured(config: object): Promise<{ readonly folder: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "davpool-bench-"));
  await writeFile(join(folder, "davpool.config.json"), JSON.stringify({ store: "memory", ...config }));
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

export interface DavpoolProcess extends McpProcess {
  /** Bytes in use, without what can be collected. */
  memory(): Promise<number>;
}

/** Runs `davpool serve --http` as an operator would. */
export async function startDavpool(config: object): Promise<DavpoolProcess> {
  const place = await configured(config);
  const reporter = new URL("memory-reporter.ts", import.meta.url).href;
  const parameters = ["--expose-gc", "--import", reporter, DAVPOOL, "serve", "--http", "--port", "0"];
  const child = spawn(process.execPath, parameters, {
    cwd: place.folder,
    // Ctrl-C is for the process that started it, which then ends it.
    detached: true,
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  const gone = once(child, "exit");
  try {
    let text = "";
    const url = await Promise.race([
      new Promise<string>((resolve) => {
        // Once it serves, its log is read and dropped.
        child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
          text = `${text}${chunk}`.slice(-10_000);
          const [address] = /http:\/\/127\.0\.0\.1:\d+\/mcp/.exec(text) ?? [];
          if (address !== undefined) resolve(address);
        });
      }),
      endedEarly(gone, () => text),
    ]);
    return {
      url,
      pid: child.pid as number,
      async memory() {
        const answer = once(child, "message");
        child.send("memory");
        return ((await answer) as [number])[0];
      },
      [Symbol.asyncDispose]: async () => {
        child.kill();
        await gone;
        await place[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    child.kill("SIGKILL");
    await place[Symbol.asyncDispose]();
    throw error;
  }
}

/** Sockets that a process has open. Linux only. */
export function socketsOf(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).filter((name) => {
    try {
      return readlinkSync(join(folder, name)).startsWith("socket:");
    } catch {
      // Closed meanwhile.
      return false;
    }
  }).length;
}

/** Microseconds of processor time that a process has used. Linux only. */
export function processorTime(pid: number): number {
  // Behind the name, which may hold anything.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  const TICK = 10_000;
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}

async function endedEarly(gone: Promise<unknown>, said: () => string = () => ""): Promise<never> {
  await gone;
  throw new Error(`A server ended before it was ready. ${said()}`);
}
