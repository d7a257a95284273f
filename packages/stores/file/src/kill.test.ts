import { systemClock, type StoredState } from "@davpool/core";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as moment } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, onTestFailed, test } from "vitest";
import { bundleProgram } from "../../../../scripts/bundle-command.ts";
import { FileStore } from "./file-store.ts";

const CYCLES = 200;
/** At least so many, however many steps a process takes before its end. */
const KILLS = 16;
const SECRET_KEY = "0123456789abcdef0123456789ABCDEF";

/** Adds and removes servers. */
const CHILD = fileURLToPath(new URL("testing/endless-changes.test-support.ts", import.meta.url));

/** What the file holds after a step; before the first one, nothing. */
function stateAfter(step: number): StoredState {
  if (step < 0) return { activeServerId: undefined, servers: [] };
  const cycle = Math.floor(step / 2);
  const first = Math.max(0, step % 2 === 0 ? cycle - 2 : cycle - 1);
  return {
    activeServerId: `s${cycle}`,
    servers: Array.from({ length: cycle - first + 1 }, (_, index) => ({
      serverId: `s${first + index}`,
      profile: { priority: first + index },
      secrets: { password: `p${first + index}` },
    })),
  };
}

/** Random numbers in [0, 1) that a failed run can be repeated with (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Starts at a step and kills at a random moment; gives the last step that was acknowledged. */
async function runAndKill(program: string, file: string, first: number, random: () => number): Promise<number> {
  const child = spawn(process.execPath, [program, file, SECRET_KEY, String(first)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const enough = first + Math.floor(random() * 20);
  const delay = random() * 12;
  let acknowledged = first - 1;
  const lines = createInterface({ input: child.stdout });
  const { promise: soon, resolve } = Promise.withResolvers<void>();
  lines.on("line", (line) => {
    acknowledged = Number(line);
    if (acknowledged >= enough) resolve();
  });
  const [ended, drained] = [once(child, "exit"), once(lines, "close")];
  await Promise.race([soon, ended]);
  // Not to wait for anything: the moment of the kill is what is random here.
  await moment(delay);
  child.kill("SIGKILL");
  expect(await ended).toEqual([null, "SIGKILL"]);
  await drained;
  return acknowledged;
}

test(`kill -9 at random moments of ${CYCLES} add/remove cycles: the file is whole and holds the last acknowledged state`, async () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = seeded(seed);
  const folder = await mkdtemp(join(tmpdir(), "davpool-kill-"));
  // It is started many times, and in one piece that takes next to no time.
  const programs = await mkdtemp(join(tmpdir(), "davpool-kill-program-"));
  const program = await bundleProgram(CHILD, programs);
  const file = join(folder, "servers.json");
  const errors: string[] = [];
  const log = {
    debug() {},
    info() {},
    warn: (line: string) => errors.push(line),
    error: (line: string) => errors.push(line),
  };
  const init = {
    file,
    pool: "files",
    primary: true,
    secretKey: SECRET_KEY,
    secretFields: [],
    clock: systemClock,
    random,
    log,
  };
  let step = -1;
  let kills = 0;
  let acknowledged = -1;
  onTestFailed(() => {
    process.stderr.write(`seed ${seed}, kill ${kills + 1}, last acknowledged step ${acknowledged}, folder ${folder}\n`);
  });
  for (; step < 2 * CYCLES || kills < KILLS; kills++) {
    acknowledged = await runAndKill(program, file, step + 1, random);
    const text = await readFile(file, "utf8");
    expect(() => JSON.parse(text) as unknown).not.toThrow();
    const state = await new FileStore(init).load();
    // A change may have been saved when the process was killed before it could say so.
    step = JSON.stringify(state) === JSON.stringify(stateAfter(acknowledged + 1)) ? acknowledged + 1 : acknowledged;
    expect(state).toEqual(stateAfter(step));
  }
  expect(errors).toEqual([]);
  await new FileStore(init).update((state) => state);
  expect((await readdir(folder)).toSorted()).toEqual(["servers.json", "servers.json.lock"]);
  await rm(folder, { recursive: true });
  await rm(programs, { recursive: true });
});
