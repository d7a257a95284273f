import { existsSync, readFileSync } from "node:fs";
import {
  corePlugins,
  createManualClock,
  openPools,
  resolveConfig,
  type Log,
  type ManualClock,
  type OpenPools,
  type Pool,
} from "@davpool/core";
import { memoryStore } from "@davpool/store-memory";
import { leastConnections } from "@davpool/strategy-least-connections";
import { roundRobin } from "@davpool/strategy-round-robin";
import type { McpHost } from "../host.ts";
import { MCP_HOST } from "../host.ts";
import { mcp } from "../plugin.ts";
import type { McpResponse, McpWire } from "../wire.ts";

/** What a server said outside of requests. */
interface Said {
  readonly serverId: string;
  readonly partition: string;
  readonly method: string;
  readonly params?: Readonly<Record<string, unknown>>;
}

export interface OpenPool extends AsyncDisposable {
  readonly pool: Pool<McpWire>;
  readonly clock: ManualClock;
  /** What servers said outside of requests. */
  readonly events: readonly Said[];
  /** Resolves when the log holds a line with this text. */
  logged(text: string): Promise<string>;
  readonly lines: readonly string[];
}

/** Milliseconds an attempt may take in these pools. */
export const TIMEOUT = 1_000;

type ServerInput = Readonly<Record<string, unknown>>;

/**
 * A pool named `tools` of servers `s1`, `s2` …, as a configuration makes it. Time stands still, nothing is checked, and
 * what is tried again is tried at once.
 */
export async function openPool(
  servers: readonly ServerInput[],
  settings: Readonly<Record<string, unknown>> = {},
  transport: Readonly<Record<string, unknown>> = {},
  environment: Readonly<Record<string, string | undefined>> = {},
  security: Readonly<Record<string, unknown>> = {},
  host?: McpHost,
): Promise<OpenPool> {
  const events: Said[] = [];
  const config = await resolveConfig(
    {
      store: "memory",
      security,
      pools: {
        tools: {
          transport: { type: "mcp", ...transport },
          failover: { type: "default", backoff: 0 },
          health: { enabled: false },
          tiers: false,
          serverDefaults: { timeout: TIMEOUT, retryAttempts: 3 },
          servers: servers.map((server, index) => ({ serverId: `s${index + 1}`, ...server })),
          ...settings,
        },
      },
    },
    {
      baseDirectory: process.cwd(),
      plugins: [...corePlugins, mcp, memoryStore, roundRobin, leastConnections],
    },
  );
  const clock = createManualClock();
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const write = (level: string) => (message: string, fields?: object) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`);
    for (const look of waiting) look();
  };
  const log: Log = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  const open: OpenPools = await openPools(config, {
    clock,
    log,
    random: () => 0.5,
    environment: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...environment },
    provide: (services) => services.provide(MCP_HOST, host ?? listening(events)),
  });
  return {
    pool: open.pools.get("tools") as Pool<McpWire>,
    clock,
    events,
    lines,
    logged: (text) =>
      new Promise((resolve) => {
        const look = () => {
          const line = lines.find((one) => one.includes(text));
          if (line === undefined) return;
          waiting.delete(look);
          resolve(line);
        };
        waiting.add(look);
        look();
      }),
    [Symbol.asyncDispose]: () => open[Symbol.asyncDispose](),
  };
}

/** Answers nothing, and writes down what is said. */
function listening(events: Said[]): McpHost {
  return {
    client: ({ serverId, partition }) => ({
      capabilities: {},
      notified: (method, params) => void events.push({ serverId, partition, method, ...(params && { params }) }),
    }),
  };
}

/** Lets real time pass, and the pool's with it in small steps, until this holds. */
export async function meanwhile(clock: ManualClock, holds: () => boolean): Promise<void> {
  while (!holds()) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(1);
  }
}

/** The text of a tool's answer. */
export function textOf(response: McpResponse): string {
  const content = response.result?.["content"] as readonly { readonly text: string }[] | undefined;
  return content?.[0]?.text ?? JSON.stringify(response);
}

/** True while a process runs. One that has ended and that nobody has asked for does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch (error) {
    // A system without /proc: what can be signalled is there.
    return (error as NodeJS.ErrnoException).code === "ENOENT" && !existsSync("/proc/self");
  }
}

/** Resolves when none of these processes runs. */
export async function ended(pids: readonly number[]): Promise<void> {
  while (pids.some(isAlive)) await new Promise((resolve) => setImmediate(resolve));
}
