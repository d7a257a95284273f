import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { existsSync } from "node:fs";
import type { Clock } from "@davpool/core";
import { NotConnectedError } from "../errors.ts";
import { watchdog } from "./watchdog.ts";

/** A program to run, with everything that it is given. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** POSIX systems can end a process together with all that it has started. */
const GROUPS = process.platform !== "win32";
/** Milliseconds that output may still take to arrive once its process is gone. */
const LAST_WORDS = 1_000;

/**
 * A process with everything that it starts: they are one group, and end together, with davpool at the latest.
 */
export class ServerProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #clock: Clock;
  readonly #command: Command;
  /** Resolves when it runs; rejects when it cannot be started. */
  readonly started: Promise<void>;
  /** Resolves when it is gone, and all that it wrote has arrived. Not when it never ran. */
  readonly gone: Promise<Exit>;
  #isGone = false;
  #stopping: Promise<void> | undefined;

  constructor(command: Command, clock: Clock) {
    this.#clock = clock;
    this.#command = command;
    const { program, args, env, cwd } = command;
    const child = spawn(program, args, { env, cwd, detached: GROUPS, stdio: "pipe", windowsHide: true });
    this.#child = child;
    if (child.pid !== undefined && GROUPS) watchdog.watch(child.pid);
    this.started = new Promise((resolve, reject) => {
      child.once("spawn", resolve);
      child.on("error", (error) => reject(this.#cannotStart(error)));
    });
    this.gone = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        // What it has started must not outlive it, nor keep its pipes open.
        this.#signal("SIGKILL");
        if (child.pid !== undefined && GROUPS) watchdog.forget(child.pid);
        const end = () => {
          this.#isGone = true;
          limit[Symbol.dispose]();
          resolve({ code, signal });
        };
        // What left the group and kept the pipes is not waited for.
        const limit = clock.after(LAST_WORDS, end, { background: true });
        child.once("close", end);
      });
    });
    // What is written to a process that has ended is lost; that it has ended is told otherwise.
    child.stdin.on("error", () => {});
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }
  get stdin(): ChildProcessWithoutNullStreams["stdin"] {
    return this.#child.stdin;
  }
  get stdout(): ChildProcessWithoutNullStreams["stdout"] {
    return this.#child.stdout;
  }
  get stderr(): ChildProcessWithoutNullStreams["stderr"] {
    return this.#child.stderr;
  }

  /**
   * Ends it: closes its input, which well-behaved servers take for the end, then asks by signal, then forces it.
   * @param grace milliseconds before each of the two.
   */
  stop(grace: number): Promise<void> {
    return (this.#stopping ??= this.#stop(grace));
  }

  /** Ends it without asking. */
  kill(): void {
    this.#signal("SIGKILL");
  }

  async #stop(grace: number): Promise<void> {
    if (this.#child.pid === undefined || this.#isGone) return;
    this.#child.stdin.end();
    const steps = [
      this.#clock.after(grace, () => this.#signal("SIGTERM")),
      this.#clock.after(2 * grace, () => this.#signal("SIGKILL")),
    ];
    await this.gone;
    for (const step of steps) step[Symbol.dispose]();
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      if (GROUPS) process.kill(-pid, signal);
      else this.#child.kill(signal);
    } catch {
      // Nobody of them is left.
    }
  }

  #cannotStart(error: NodeJS.ErrnoException): Error {
    const { program, cwd } = this.#command;
    const shown = JSON.stringify(program);
    const problem =
      error.code !== "ENOENT"
        ? `the command ${shown} cannot be started (${error.code ?? error.message}); check that it is a program this user may run`
        : existsSync(cwd)
          ? `the command ${shown} was not found; install it, or give its whole path`
          : `the folder ${JSON.stringify(cwd)} does not exist; make it, or change cwd`;
    return new NotConnectedError(problem, error.code, error);
  }
}
