import type { RequestFault } from "@davpool/testkit";
import { Promises, defineBenchmark, type Report, type Surroundings } from "./benchmark.ts";
import { consumeSize, openDavPool, type DavPool } from "./dav-pool.ts";
import { openLoop } from "./open-loop.ts";
import { percentile } from "./percentile.ts";
import { FILE, startServers } from "./servers.ts";
import { table } from "./table.ts";

const STRATEGIES = ["round-robin", "random", "least-connections", "response-time", "weighted", "priority"] as const;
type Strategy = (typeof STRATEGIES)[number];

const SIZE = 1_024;
const MAX_CONNECTIONS = 10;
/** Seconds before anything is counted: sockets open, and estimates form. */
const WARM_UP = 1;

const FAST: readonly RequestFault[] = [{ kind: "delay", ms: 5 }];
const SLOW: readonly RequestFault[] = [{ kind: "delay", ms: 50 }];
/** What answers 500 at once: reads only, so that health checks find the server well, or everything. */
const BROKEN: Readonly<Record<string, readonly RequestFault[]>> = {
  "reads only": [{ kind: "status", status: 500, methods: ["GET"] }],
  everything: [{ kind: "status", status: 500 }],
};
/** The odd one of the three servers. */
const ODD = "odd";

/** What a strategy makes of one server that is slow, or broken, among three. */
export const strategies = defineBenchmark({
  summary: "one of three servers ten times slower, or answering 500 at once, under each strategy",
  options: {
    seconds: { default: 20, meaning: "time for each strategy and server" },
    rate: { default: 600, meaning: "requests a second, on a schedule" },
  },
  run: compareStrategies,
});

interface Load {
  readonly seconds: number;
  readonly rate: number;
}

async function compareStrategies(load: Load, surroundings: Surroundings): Promise<Report> {
  const promises = new Promises();
  const slow = await slowServer(load, promises, surroundings);
  const broken = await brokenServer(load, promises, surroundings);
  const text = `Open loop of ${load.rate} requests a second for ${load.seconds} s after ${WARM_UP} s of warm-up; three servers that take 5 ms, \`maxConnections: ${MAX_CONNECTIONS}\`.

One of them takes 50 ms; latency from the scheduled arrival, in milliseconds:

${slow}

One of them answers 500 at once; shares of the attempts after it was first taken out of rotation:

${broken}`;
  return { text, broken: promises.broken };
}

async function slowServer(load: Load, promises: Promises, { signal, progress }: Surroundings): Promise<string> {
  const p99 = new Map<Strategy, number>();
  const rows: string[][] = [];
  for (const strategy of STRATEGIES) {
    progress(`${strategy}: one slow server`);
    await using setup = await open(strategy, SLOW);
    await run(setup.pool, { ...load, seconds: WARM_UP, signal });
    const before = attempts(setup.pool);
    const { latencies, errors } = await run(setup.pool, { ...load, signal });
    const share = shareSince(setup.pool, before);
    p99.set(strategy, percentile(latencies, 0.99));
    rows.push([
      strategy,
      ...[0.5, 0.9, 0.99].map((part) => percentile(latencies, part).toFixed(1)),
      percent(share),
      String(errors),
    ]);
    promises.expect(errors === 0, `${strategy}, one slow server: no errors`, `${errors} errors`);
    if (strategy === "response-time")
      promises.expect(share <= 0.1, "response-time: the slow server gets at most 10 %", percent(share));
  }
  const [ours = NaN, peer = NaN] = [p99.get("response-time"), p99.get("round-robin")];
  promises.expect(
    ours <= peer / 2,
    "response-time: p99 at most half of round-robin's",
    `${ours.toFixed(1)} ms against ${peer.toFixed(1)} ms`,
  );
  return table(["strategy", "p50", "p90", "p99", "slow server's share", "errors"], rows);
}

async function brokenServer(load: Load, promises: Promises, { signal, progress }: Surroundings): Promise<string> {
  const rows: string[][] = [];
  for (const [what, faults] of Object.entries(BROKEN)) {
    for (const strategy of STRATEGIES) {
      progress(`${strategy}: one server answers 500 to ${what}`);
      await using setup = await open(strategy, faults);
      let ejected: Attempts | undefined;
      using _ = setup.pool.on("server-unhealthy", ({ serverId }) => {
        if (serverId === ODD) ejected ??= attempts(setup.pool);
      });
      const { errors } = await run(setup.pool, { ...load, signal });
      // One that is never taken out is judged by all that it got.
      const share = shareSince(setup.pool, ejected ?? { all: 0, odd: 0 });
      rows.push([strategy, what, String(errors), percent(share) + (ejected ? "" : ", never taken out")]);
      const most = strategy === "response-time" ? 0.01 : 0.05;
      const name = `${strategy}, one server answers 500 to ${what}`;
      promises.expect(errors === 0, `${name}: no caller sees an error`, `${errors} errors`);
      promises.expect(share <= most, `${name}: at most ${percent(most)} of attempts go there`, percent(share));
    }
  }
  return table(["strategy", "500 to", "errors seen by callers", "broken server's share"], rows);
}

async function open(
  strategy: Strategy,
  odd: readonly RequestFault[],
): Promise<{ readonly pool: DavPool } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const servers = stack.use(await startServers({ size: SIZE, faults: [odd, FAST, FAST] }));
  const { pool } = stack.use(
    await openDavPool({
      strategy,
      servers: servers.urls.map((url, index) => ({
        serverId: index === 0 ? ODD : `well-${index}`,
        url,
        maxConnections: MAX_CONNECTIONS,
      })),
    }),
  );
  const owned = stack.move();
  return { pool, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function run(
  pool: DavPool,
  load: Load & { readonly signal: AbortSignal },
): Promise<{ readonly latencies: readonly number[]; readonly errors: number }> {
  const latencies: number[] = [];
  let errors = 0;
  await openLoop(load, async (scheduledAt) => {
    try {
      const { value } = await pool.execute({ method: "GET", path: FILE }, { consume: consumeSize });
      if (value.status !== 200 || value.size !== SIZE) errors++;
    } catch {
      errors++;
    }
    latencies.push(performance.now() - scheduledAt);
  });
  return { latencies, errors };
}

interface Attempts {
  readonly all: number;
  readonly odd: number;
}

function attempts(pool: DavPool): Attempts {
  let [all, odd] = [0, 0];
  for (const server of pool.list()) {
    all += server.attempts.total;
    if (server.serverId === ODD) odd += server.attempts.total;
  }
  return { all, odd };
}

/** The odd server's share of the attempts that have ended since. */
function shareSince(pool: DavPool, before: Attempts): number {
  const now = attempts(pool);
  return (now.odd - before.odd) / (now.all - before.all);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
