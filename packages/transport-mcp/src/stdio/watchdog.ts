import { spawn, type ChildProcess } from "node:child_process";
import type { Writable } from "node:stream";

/**
 * Reads `+ group` and `- group`, and ends the groups that are left when its input ends, which is when davpool has ended,
 * however that came: also by SIGKILL, where nothing of davpool's own could run.
 */
const SCRIPT = `
trap '' INT TERM HUP
groups=
while read -r op group; do
  if [ "$op" = + ]; then groups="$groups $group"; else
    rest=; for one in $groups; do [ "$one" = "$group" ] || rest="$rest $one"; done; groups=$rest
  fi
done
[ -n "$groups" ] || exit 0
for one in $groups; do kill -TERM "-$one" 2>/dev/null; done
for wait in 1 2 3 4 5 6 7 8 9 10; do
  left=; for one in $groups; do kill -0 "-$one" 2>/dev/null && left=1; done
  [ -n "$left" ] || exit 0
  sleep 0.1
done
for one in $groups; do kill -KILL "-$one" 2>/dev/null; done
`;

/** One small shell for all the processes that davpool has started; it is there while there are any. */
class Watchdog {
  #shell: ChildProcess | undefined;
  readonly #groups = new Set<number>();

  watch(group: number): void {
    this.#groups.add(group);
    if (this.#shell) this.#tell(`+ ${group}`);
    else this.#start();
  }

  forget(group: number): void {
    if (!this.#groups.delete(group)) return;
    this.#tell(`- ${group}`);
    if (this.#groups.size > 0) return;
    this.#shell?.stdin?.end();
    this.#shell = undefined;
  }

  #start(): void {
    const shell = spawn("/bin/sh", ["-c", SCRIPT], {
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin" },
      cwd: "/",
    });
    this.#shell = shell;
    // Where there is no shell, what davpool itself does at its end must be enough.
    shell.on("error", () => {});
    shell.on("exit", () => {
      if (this.#shell !== shell) return;
      this.#shell = undefined;
      if (this.#groups.size > 0) this.#start();
    });
    shell.stdin?.on("error", () => {});
    shell.unref();
    (shell.stdin as (Writable & { unref?(): void }) | null)?.unref?.();
    for (const group of this.#groups) this.#tell(`+ ${group}`);
  }

  #tell(line: string): void {
    this.#shell?.stdin?.write(`${line}\n`);
  }
}

/** For all pools of this process. */
export const watchdog = new Watchdog();
