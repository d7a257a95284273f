import {
  openPools,
  sleep,
  systemClock,
  type Clock,
  type Log,
  type OpenPools,
  type Pool,
  type ResolvedConfig,
} from "@davpool/core";
import type { Terminal } from "../terminal.ts";
import { picture } from "./picture.ts";
import { PoolLook } from "./pool-look.ts";
import type { StatusReport } from "./report.ts";

export interface StatusOptions {
  readonly json?: boolean;
  /** Go on until stopped. */
  readonly watch?: boolean;
  /** Milliseconds between two pictures. */
  readonly interval: number;
  readonly clock?: Clock;
}

/** Milliseconds between checks where nobody waits for a second one. */
const SELDOM = 60_000;

/** To the upper left corner; what is there is overwritten, which flickers less than clearing it. */
const HOME = "\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";

/**
 * Opens the pools of a configuration for looking only, checks every server, and shows what is so.
 * @returns whether every pool has a usable server, when last looked at.
 */
export async function status(
  config: ResolvedConfig,
  options: StatusOptions,
  terminal: Terminal,
  stop: AbortSignal,
): Promise<boolean> {
  const { json = false, watch = false, interval, clock = systemClock } = options;
  const looks = config.pools.map((pool) => new PoolLook(pool, watch ? interval : SELDOM));
  const errors = new Set<string>();
  // What is merely noteworthy is in the log of those that serve the pool.
  const log: Log = { debug() {}, info() {}, warn() {}, error: (message) => void errors.add(message) };
  const pools = looks.map((look) => look.settings);
  await using open = await openPools({ ...config, pools }, { clock, log, signal: stop });

  await Promise.all(looks.map((look) => look.checked(poolOf(open, look), stop)));
  for (;;) {
    const reports = await Promise.all(looks.map((look) => look.report(poolOf(open, look))));
    const report: StatusReport = {
      at: clock.wall().toISOString(),
      file: config.file ?? null,
      usable: reports.every((pool) => pool.usable),
      pools: reports,
      errors: [...errors],
    };
    terminal.out(json ? `${JSON.stringify(report, null, watch ? 0 : 2)}\n` : drawn(report, watch, terminal));
    if (watch) await sleep(clock, interval, { signal: stop });
    if (!watch || stop.aborted) return report.usable;
  }
}

function poolOf(open: OpenPools, { settings }: PoolLook): Pool {
  return open.pools.get(settings.name) as Pool;
}

function drawn(report: StatusReport, watch: boolean, { screen }: Terminal): string {
  const text = picture(report, screen);
  if (!watch) return text;
  const headed = `${report.at}\n\n${text}`;
  return screen ? `${HOME}${headed.replaceAll("\n", `${CLEAR_LINE}\n`)}${CLEAR_BELOW}` : `${headed}\n`;
}
