import { setTimeout as delay } from "node:timers/promises";
import { Promises, defineBenchmark, type Report, type Surroundings } from "./benchmark.ts";
import { ChaosLoad } from "./chaos-load.ts";
import { ChaosServers } from "./chaos-servers.ts";
import { openDavPool, type DavPool } from "./dav-pool.ts";
import { heapInUse, openSockets } from "./resources.ts";
import { seededRandom } from "./seeded-random.ts";
import { table } from "./table.ts";

/** Milliseconds. */
const DEADLINE = 4_000;
/** How late a busy machine may be. */
const TOLERANCE = 500;
const IDLE_TIMEOUT = 2_000;
/** Time for health checks to find every server well, and for idle sockets to be closed. */
const CALM = 20_000;
/** Sockets to each server that may stay open when nothing happens: what a health check has just used. */
const IDLE_SOCKETS = 1;
/** Bytes by which the heap may grow, after collection: compiled code and full tables, but no leak of each call. */
const GROWTH = 4 * 2 ** 20;

/** Servers that die, hang and come back at random, under a load of reads and writes. */
export const chaos = defineBenchmark({
  summary: "real Apache servers are killed, hang and come back at random, under reads and writes",
  options: {
    minutes: { default: 10, meaning: "time of chaos" },
    servers: { default: 5, meaning: "servers, each with a folder of its own" },
    workers: { default: 32, meaning: "calls under way at most" },
    warmup: { default: 10, meaning: "seconds of load without faults, before memory is measured" },
    seed: { default: 0, meaning: "of the random faults; 0 for a new one" },
  },
  run: runChaos,
});

export interface ChaosOptions {
  readonly minutes: number;
  readonly servers: number;
  readonly workers: number;
  readonly warmup: number;
  readonly seed: number;
}

export async function runChaos(options: ChaosOptions, { signal, progress }: Surroundings): Promise<Report> {
  const seed = options.seed === 0 ? Math.floor(Math.random() * 2 ** 31) : options.seed;
  progress(`seed ${seed}`);
  await using servers = await ChaosServers.start(options.servers);
  const serverIds = servers.servers.map((_, index) => `s${index}`);
  await using opened = await openDavPool({
    transport: { type: "webdav", idleTimeout: IDLE_TIMEOUT },
    strategy: "response-time",
    health: { timeout: 1_000, recoveryInterval: 500, ejection: 1_000, slowStart: 2_000 },
    serverDefaults: { timeout: 1_000 },
    servers: servers.servers.map(({ url }, index) => ({ serverId: serverIds[index], url })),
  });
  const { pool } = opened;
  const load = new ChaosLoad(pool, { workers: options.workers, seed, deadline: DEADLINE, serverIds });
  const promises = new Promises();
  await load.prepare();

  await underLoad(load, options.warmup * 1_000, signal);
  await calm(pool, servers, signal);
  const before = await heapInUse();

  const over = new AbortController();
  const strikes = servers.strike(seededRandom(seed), AbortSignal.any([signal, over.signal]), progress);
  let unanswered: number;
  try {
    unanswered = await underLoad(load, options.minutes * 60_000, signal);
  } finally {
    over.abort();
    await strikes;
  }
  await servers.revive();
  const sockets = await calm(pool, servers, signal);
  const after = await heapInUse();

  const notWell = pool.list().filter(({ health }) => health.status !== "healthy");
  progress(`reading ${load.acknowledged} acknowledged writes`);
  const lost = await load.verify(signal);
  promises.expect(
    lost.length === 0,
    "every acknowledged PUT is readable",
    `${lost.length} are not, such as ${lost[0]}`,
  );
  promises.expect(load.wrong.length === 0, "no answer is wrong", `${load.wrong.length}, such as ${load.wrong[0]}`);
  promises.expect(unanswered === 0, "every call settles", `${unanswered} do not`);
  promises.expect(load.latest <= TOLERANCE, `no call settles ${TOLERANCE} ms after its deadline`, ms(load.latest));
  promises.expect(
    notWell.length === 0,
    `every server is healthy within ${CALM / 1_000} s`,
    notWell.map(({ serverId, health }) => `${serverId} ${health.status}`).join(", "),
  );
  promises.expect(
    sockets.every((count) => count <= IDLE_SOCKETS),
    `at most ${IDLE_SOCKETS} socket to each server is left`,
    sockets.join(", "),
  );
  promises.expect(after - before <= GROWTH, `the heap grows by ${mib(GROWTH)} at most`, mib(after - before));

  const rows = [
    ["seed", String(seed)],
    ...Object.entries(servers.counts).map(([name, count]) => [name, String(count)]),
    ["calls", String(load.calls)],
    ...[...load.outcomes]
      .toSorted(([one], [other]) => one.localeCompare(other))
      .map(([outcome, count]) => [`- ${outcome}`, String(count)]),
    ["calls not settled", String(unanswered)],
    ["latest call, after its deadline", ms(load.latest)],
    ["acknowledged PUTs", String(load.acknowledged)],
    ["of these not readable", String(lost.length)],
    ["sockets left per server", sockets.join(", ")],
    ["heap after warm-up", mib(before)],
    ["heap at the end", mib(after)],
  ];
  const heading = `${options.minutes} minutes of chaos for ${options.servers} Apache servers under ${options.workers} workers; \`timeout: 1000\`, deadline ${DEADLINE} ms`;
  return { text: `${heading}\n\n${table(["what", "figure"], rows)}`, broken: promises.broken };
}

/** @returns calls that had not settled long after the deadline of the last one. */
async function underLoad(load: ChaosLoad, time: number, signal: AbortSignal): Promise<number> {
  const over = new AbortController();
  const work = load.work(over.signal);
  try {
    await delay(time, undefined, { signal });
  } finally {
    over.abort();
    const patience = new AbortController();
    await Promise.race([work, delay(DEADLINE + TOLERANCE, undefined, { signal: patience.signal }).catch(() => {})]);
    patience.abort();
  }
  return load.pending;
}

/** Waits until every server is well and its sockets are closed, or patience is over. @returns sockets left of each. */
async function calm(pool: DavPool, { servers }: ChaosServers, signal: AbortSignal): Promise<readonly number[]> {
  const end = performance.now() + CALM;
  for (;;) {
    const sockets = await Promise.all(servers.map(({ port }) => openSockets(port)));
    const well = pool.list().every(({ health, inFlight }) => health.status === "healthy" && inFlight === 0);
    const isCalm = well && sockets.every((count) => count <= IDLE_SOCKETS);
    if (isCalm || performance.now() > end) return sockets;
    await delay(100, undefined, { signal });
  }
}

function ms(time: number): string {
  return `${time.toFixed(0)} ms`;
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
