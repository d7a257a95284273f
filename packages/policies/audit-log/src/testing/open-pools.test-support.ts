import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import {
  corePlugins,
  createManualClock,
  definePlugin,
  openPools,
  resolveConfig,
  type Log,
  type ManualClock,
  type OpenPools,
  type Policy,
} from "@davpool/core";
import { memoryStore } from "@davpool/store-memory";
import { roundRobin } from "@davpool/strategy-round-robin";
import { mcp } from "@davpool/transport-mcp";
import { webdav } from "@davpool/transport-webdav";
import { auditLog } from "../plugin.ts";

/** A folder of its own for one test. */
export async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "davpool-audit-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Log lines, for reading and for waiting on one. */
export function recordingLog() {
  const lines: string[] = [];
  const looking = new Set<() => void>();
  const write = (level: keyof Log) => (message: string) => {
    lines.push(`${level} ${message}`);
    for (const look of looking) look();
  };
  const log: Log = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  return {
    log,
    lines,
    /** Resolves when a line that holds `text` has been logged. */
    logged: (text: string) =>
      new Promise<void>((resolve) => {
        const look = () => {
          if (!lines.some((line) => line.includes(text))) return;
          looking.delete(look);
          resolve();
        };
        looking.add(look);
        look();
      }),
  };
}

/** Resolves when a file holds so many lines, with those it holds. */
export async function linesOf(file: string, least: number): Promise<Record<string, unknown>[]> {
  for (;;) {
    const lines = (await readFile(file, "utf8").catch(() => "")).split("\n");
    if (lines.length > least && lines.pop() === "")
      return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    await setImmediate();
  }
}

export interface OpenAudited extends AsyncDisposable, Omit<ReturnType<typeof recordingLog>, "log"> {
  readonly open: OpenPools;
  readonly clock: ManualClock;
  readonly folder: string;
  /** Closes the pools, and reads what was written. */
  written(): Promise<Record<string, unknown>[]>;
}

export interface Audited {
  readonly pools: Readonly<Record<string, object>>;
  /** Of the policy. Default: the file `audit.jsonl`, and nothing else. */
  readonly options?: object;
  /** Comes after the audit log in every pool. */
  readonly policy?: Policy;
  /** Default: one that is removed with the pools. */
  readonly folder?: string;
}

/** Pools of real servers with the audit log, which stands in the folder as `audit.jsonl`. Time stands still. */
export async function openAudited({ pools, options, policy = {}, folder: given }: Audited): Promise<OpenAudited> {
  const own = given === undefined ? await temporaryFolder() : undefined;
  const folder = given ?? own?.path ?? "";
  const file = "audit.jsonl";
  const policies = [{ type: "audit-log", file, ...options }, "second"];
  const common = { policies, failover: { type: "default", backoff: 0 }, health: { enabled: false } };
  const second = definePlugin({ kind: "policy", name: "second", create: () => policy });
  const clock = createManualClock();
  const { log, ...recording } = recordingLog();
  try {
    const config = await resolveConfig(
      {
        store: "memory",
        pools: Object.fromEntries(Object.entries(pools).map(([name, pool]) => [name, { ...common, ...pool }])),
      },
      { baseDirectory: folder, plugins: [...corePlugins, auditLog, second, webdav, mcp, memoryStore, roundRobin] },
    );
    const environment = { PATH: process.env["PATH"], HOME: process.env["HOME"] };
    const open = await openPools(config, { clock, log, random: () => 0.5, environment });
    return {
      ...recording,
      open,
      clock,
      folder,
      async written() {
        await open[Symbol.asyncDispose]();
        return linesOf(join(folder, file), 0);
      },
      async [Symbol.asyncDispose]() {
        await open[Symbol.asyncDispose]();
        await own?.[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await own?.[Symbol.asyncDispose]();
    throw error;
  }
}
