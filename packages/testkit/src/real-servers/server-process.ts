import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile, readdir } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

const START_TIMEOUT = 120_000;

/** Starts programs one after another under one name, each in a process group of its own. */
export class ServerProcess {
  readonly #command: readonly [string, ...string[]];
  readonly #port: number;
  #child: ChildProcess | undefined;
  #output = "";

  constructor(command: readonly [string, ...string[]], port: number) {
    this.#command = command;
    this.#port = port;
  }

  async start(): Promise<void> {
    const [program, ...parameters] = this.#command;
    // A group of its own: servers fork, and killing the parent alone would leave the others answering.
    const child = spawn(program, parameters, { detached: true, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (this.#output = (this.#output + text).slice(-4_000)));
    const end = performance.now() + START_TIMEOUT;
    while (!(await accepts(this.#port))) {
      if (child.exitCode !== null || performance.now() > end) {
        await this.kill("SIGKILL");
        throw new Error(`${program} did not start:\n${this.#output}`);
      }
      await delay(10);
    }
  }

  async kill(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const group = this.#group;
    if (this.#child === undefined || group === undefined) return;
    const exited = once(this.#child, "exit");
    process.kill(-group, signal);
    // A process that is paused does not hear of SIGTERM before it goes on.
    if (signal !== "SIGKILL") process.kill(-group, "SIGCONT");
    await exited;
    while (await accepts(this.#port)) await delay(5);
  }

  async pause(): Promise<void> {
    const group = this.#group;
    if (group === undefined) return;
    process.kill(-group, "SIGSTOP");
    // The kernel may take a moment to stop one that is busy.
    while (!(await isStopped(group))) await delay(1);
  }

  async resume(): Promise<void> {
    if (this.#group !== undefined) process.kill(-this.#group, "SIGCONT");
  }

  /** The process group, which has its first process's number; undefined when that is not running. */
  get #group(): number | undefined {
    const child = this.#child;
    return child !== undefined && child.exitCode === null && child.signalCode === null ? child.pid : undefined;
  }
}

/** Whether none of the group's processes can run. */
async function isStopped(group: number): Promise<boolean> {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  // A process that ends meanwhile has no file any more.
  const stats = await Promise.all(ids.map((id) => readFile(`/proc/${id}/stat`, "utf8").catch(() => "")));
  return stats.every((stat) => {
    // After the name, which may hold anything, in parentheses: state, parent, group.
    const [state = "", , owner] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return owner !== String(group) || "TtZX".includes(state);
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
