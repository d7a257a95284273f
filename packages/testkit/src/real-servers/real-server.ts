import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram, installHint } from "./program.ts";
import { ServerProcess, freePort } from "./server-process.ts";
import { handOver } from "./server-user.ts";

/** A server program that runs as a child, to be killed, paused and started again. */
export interface RealServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** The folder whose content it serves. */
  readonly root: string;
  /** Sends a signal to the whole program, with all its processes; resolves when it is gone, for signals that end it. */
  kill(signal?: "SIGKILL" | "SIGTERM"): Promise<void>;
  /** Starts it again, on the same port; resolves when it accepts connections. */
  start(): Promise<void>;
  /**
   * Stops all its processes in their tracks (SIGSTOP), as if the machine hung: the kernel goes on accepting connections
   * and bytes for it, and nobody answers. Resolves when they have stopped. A paused server can be killed and disposed
   * of. Nothing happens where none runs.
   */
  pause(): Promise<void>;
  /** Has it go on where {@link RealServer.pause} stopped it (SIGCONT), with whatever has arrived in between. */
  resume(): Promise<void>;
}

export interface RealServerOptions {
  /** Folder to serve; several servers may share one. Default: a new one, deleted at the end. */
  readonly root?: string;
  /** Basic authentication. Default: none. */
  readonly auth?: { readonly username: string; readonly password: string };
}

/** Where one server has its things, for its configuration. */
export interface Place {
  /** A new folder of its own, absolute. */
  readonly folder: string;
  readonly root: string;
  readonly port: number;
  /** The password file, when there is authentication. */
  readonly users: string | undefined;
  /** Folders below {@link folder} that it may write to, by the names that were asked for. */
  readonly writable: Readonly<Record<string, string>>;
}

/** What is particular about one server program. */
export interface ServerKind {
  /** What the program is called. */
  readonly program: string;
  /** Folders that it needs to write to. */
  readonly writable: readonly string[];
  /** The configuration file's name and content. */
  configuration(place: Place): string;
  /** The command's parameters, given the path of the configuration. It must stay in the foreground. */
  parameters(place: Place, configuration: string): readonly string[];
}

/**
 * Starts a server program on a free loopback port, at `/dav/`.
 * @throws Error when the program is not installed or does not start; with its own messages.
 */
export async function startRealServer(kind: ServerKind, options: RealServerOptions): Promise<RealServer> {
  const program = findProgram(kind.program);
  if (program === undefined) throw new Error(installHint(kind.program));
  const folder = await mkdtemp(join(tmpdir(), `davpool-${kind.program}-`));
  const place: Place = {
    folder,
    root: options.root ?? join(folder, "root"),
    port: await freePort(),
    users: options.auth === undefined ? undefined : join(folder, "users"),
    writable: Object.fromEntries(kind.writable.map((name) => [name, join(folder, name)])),
  };
  const folders = [place.root, ...Object.values(place.writable)];
  for (const each of folders) await mkdir(each, { recursive: true });
  await handOver(folder, ...folders);
  if (options.auth) await writeFile(join(folder, "users"), userLine(options.auth));
  const configuration = join(folder, "server.conf");
  await writeFile(configuration, kind.configuration(place));

  const running = new ServerProcess([program, ...kind.parameters(place, configuration)], place.port);
  await running.start();
  return {
    url: `http://127.0.0.1:${place.port}/dav/`,
    port: place.port,
    root: place.root,
    kill: (signal = "SIGKILL") => running.kill(signal),
    start: () => running.start(),
    pause: () => running.pause(),
    resume: () => running.resume(),
    async [Symbol.asyncDispose]() {
      await running.kill("SIGKILL");
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** One line of a password file, in the format that needs no program to make: SHA-1, for tests only. */
function userLine({ username, password }: { readonly username: string; readonly password: string }): string {
  return `${username}:{SHA}${createHash("sha1").update(password).digest("base64")}\n`;
}
