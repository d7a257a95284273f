import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startApache, type RealServer } from "@davpool/testkit/real-servers";
import { Promises, defineBenchmark, type Report, type Surroundings } from "./benchmark.ts";
import { openDavPool } from "./dav-pool.ts";
import { Readers } from "./readers.ts";
import { FILE } from "./servers.ts";
import { table } from "./table.ts";
import { tellHealth } from "./tell-health.ts";

const SIZE = 16 * 1_024;
const SERVERS = ["primary", "second", "third"] as const;
/** Seconds of load before the first fault. */
const WARM_UP = 2;
/** Seconds within which traffic must return: two checks, two seconds apart, and as long again for a busy machine. */
const RETURN = 10;
/** Of its usual share, the most that a recovered server gets in its first second, and the least in the end. */
const FIRST_SHARE = 0.75;
const LAST_SHARE = 0.8;

const ARRANGEMENTS = [
  { name: "priorities 1, 2, 3", priorities: [1, 2, 3], share: 1 },
  { name: "equal priorities", priorities: [1, 1, 1], share: 1 / 3 },
] as const;

type Arrangement = (typeof ARRANGEMENTS)[number];

/** Three real servers over one folder; one of them is killed, started again, made to hang, and let go on. */
export const failover = defineBenchmark({
  summary: "three real Apache servers under load; one is killed, and later hangs",
  options: {
    readers: { default: 64, meaning: "reads under way at any time" },
    connections: { default: 64, meaning: "maxConnections of each server; fewer than readers make them queue" },
    timeout: { default: 1_000, meaning: "milliseconds that an attempt may take" },
    tolerance: { default: 250, meaning: "milliseconds that timers and a busy machine may add" },
    outage: { default: 4, meaning: "seconds that the server is dead, or hangs" },
    ramp: { default: 5, meaning: "seconds of slow start" },
  },
  run: watchFailover,
});

interface Options {
  readonly readers: number;
  readonly connections: number;
  readonly timeout: number;
  readonly tolerance: number;
  readonly outage: number;
  readonly ramp: number;
}

async function watchFailover(options: Options, surroundings: Surroundings): Promise<Report> {
  const promises = new Promises();
  const rows: string[][] = [];
  for (const arrangement of ARRANGEMENTS)
    rows.push(...(await watchArrangement(arrangement, options, promises, surroundings)));
  const head = [
    "servers",
    "fault",
    "reads",
    "failed",
    "slowest",
    "slowest answer of a backup",
    "traffic back after",
    "share in its 1st second",
    "share in the end",
  ];
  const text = `${options.readers} readers of ${SIZE / 1_024} KiB, three Apache servers over one folder, \`timeout: ${options.timeout}\`, \`maxConnections: ${options.connections}\`, slow start ${options.ramp} s. Reads are those of the ${options.outage} s after the fault; times in milliseconds.

${table(head, rows)}`;
  return { text, broken: promises.broken };
}

async function watchArrangement(
  arrangement: Arrangement,
  options: Options,
  promises: Promises,
  surroundings: Surroundings,
): Promise<string[][]> {
  await using stack = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), "davpool-failover-"));
  stack.defer(() => rm(root, { recursive: true, force: true }));
  await writeFile(join(root, FILE), new Uint8Array(SIZE));
  const servers: RealServer[] = [];
  for (const _ of SERVERS) servers.push(stack.use(await startApache({ root })));
  const [primary] = servers as [RealServer];
  const { pool } = stack.use(
    await openDavPool({
      health: { slowStart: options.ramp * 1_000 },
      serverDefaults: { timeout: options.timeout, maxConnections: options.connections },
      servers: servers.map(({ url }, index) => ({
        serverId: SERVERS[index],
        url,
        priority: arrangement.priorities[index],
      })),
    }),
  );
  stack.use(tellHealth(pool, surroundings.progress));
  const readers = stack.use(new Readers(pool, { count: options.readers, path: FILE, size: SIZE }));
  const takenOut = new Set<string>();
  stack.use(pool.on("server-unhealthy", ({ serverId }) => takenOut.add(serverId)));
  const calm = readers.observe();
  await delay(WARM_UP * 1_000, undefined, surroundings);
  calm.end();
  const usual = calm.shareOf(SERVERS[0]);
  // What follows would show nothing otherwise.
  promises.expect(
    usual >= LAST_SHARE * arrangement.share,
    `${arrangement.name}: the primary has its share before any fault`,
    percent(usual),
  );

  const rows: string[][] = [];
  for (const [fault, begin, end] of [
    ["SIGKILL", () => primary.kill(), () => primary.start()],
    ["SIGSTOP", () => primary.pause(), () => primary.resume()],
  ] as const) {
    surroundings.progress(`${arrangement.name}: ${fault}`);
    const disturbed = readers.observe();
    await begin();
    await delay(options.outage * 1_000, undefined, surroundings);
    disturbed.end();
    await end();
    const back = await traffic(readers, options, surroundings);
    const what = `${arrangement.name}, ${fault}`;
    const { reads, failures, slowest, slowestBackup } = disturbed;
    promises.expect(failures.length === 0, `${what}: no read fails`, `${failures.length}, such as ${failures[0]}`);
    if (fault === "SIGSTOP") {
      const most = options.timeout + slowestBackup + options.tolerance;
      promises.expect(
        slowest <= most,
        `${what}: no read is slower than the attempt's timeout and the backup's time, with ${options.tolerance} ms of tolerance`,
        `${slowest.toFixed(0)} ms, at most ${most.toFixed(0)}; ${disturbed.explainSlowest()}`,
      );
    }
    promises.expect(back.after <= RETURN * 1_000, `${what}: traffic returns`, `not within ${RETURN} s`);
    const [first, last] = [back.first / arrangement.share, back.last / arrangement.share];
    promises.expect(
      first > 0 && first <= FIRST_SHARE,
      `${what}: traffic ramps up`,
      `${percent(back.first)} in the first second`,
    );
    promises.expect(last >= LAST_SHARE, `${what}: traffic is back in full`, `${percent(back.last)} in the end`);
    rows.push([
      arrangement.name,
      fault,
      String(reads),
      String(failures.length),
      slowest.toFixed(0),
      slowestBackup.toFixed(0),
      back.after.toFixed(0),
      percent(back.first),
      percent(back.last),
    ]);
  }
  const well = [...takenOut].filter((serverId) => serverId !== SERVERS[0]);
  promises.expect(well.length === 0, `${arrangement.name}: servers without a fault stay`, well.join(", "));
  return rows;
}

/** Waits until the primary answers again and its share has had the time to grow. */
async function traffic(
  readers: Readers,
  options: Options,
  { signal }: Surroundings,
): Promise<{ readonly after: number; readonly first: number; readonly last: number }> {
  const wellAt = performance.now();
  const [primary] = SERVERS;
  const before = readers.answersOf(primary);
  let after = Infinity;
  while (after === Infinity && performance.now() - wellAt < RETURN * 1_000) {
    await delay(5, undefined, { signal });
    if (readers.answersOf(primary) > before) after = performance.now() - wellAt;
  }
  if (after === Infinity) return { after, first: 0, last: 0 };
  const second = async () => {
    const observed = readers.observe();
    await delay(1_000, undefined, { signal });
    observed.end();
    return observed.shareOf(primary);
  };
  const first = await second();
  await delay(options.ramp * 1_000, undefined, { signal });
  return { after, first, last: await second() };
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
