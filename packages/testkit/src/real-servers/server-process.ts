import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** A server program that runs as a child, to be killed and started again. */
export interface RealServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** The folder whose content it serves. */
  readonly root: string;
  /** Sends a signal to the whole program, with all its processes; resolves when it is gone, for signals that end it. */
  kill(signal?: "SIGKILL" | "SIGTERM"): Promise<void>;
  /** Starts it again, on the same port; resolves when it accepts connections. */
  start(): Promise<void>;
}

const START_TIMEOUT = 20_000;

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
    const child = this.#child;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    process.kill(-child.pid, signal);
    await exited;
    while (await accepts(this.#port)) await delay(5);
  }
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
