import { Pool } from "undici";
import { Promises, defineBenchmark, type Report, type Surroundings } from "./benchmark.ts";
import { consumeSize, openDavPool, type DavPool } from "./dav-pool.ts";
import { interleaved, middle, ratio, type Subject } from "./measure.ts";
import { FILE, startServers } from "./servers.ts";
import { table } from "./table.ts";

const CONCURRENCY = 64;
const SIZE = 1_024;

/** What a pool may cost, as ratios to undici used directly. Without delay three servers cost about what one does. */
const SETUPS: readonly {
  readonly servers: number;
  /** Milliseconds that the servers take to answer. */
  readonly delay: number;
  readonly leastRate?: number;
  readonly mostCpu?: number;
}[] = [
  { servers: 1, delay: 0, leastRate: 0.85, mostCpu: 1.15 },
  { servers: 3, delay: 0 },
  { servers: 3, delay: 5, leastRate: 0.97 },
];

/**
 * What a pool costs: davpool over one and over three servers, against undici used directly. The servers run in a
 * process of their own; processor time is that of the client.
 */
export const overhead = defineBenchmark({
  summary: "what a pool costs, against undici used directly",
  options: {
    pairs: { default: 7, meaning: "comparisons of each kind" },
    seconds: { default: 3, meaning: "time of each measurement" },
  },
  run: measureOverhead,
});

async function measureOverhead(
  options: { readonly pairs: number; readonly seconds: number },
  { signal, progress }: Surroundings,
): Promise<Report> {
  const promises = new Promises();
  const rows: string[][] = [];
  for (const { servers: count, delay, leastRate = 0, mostCpu = Infinity } of SETUPS) {
    const faults = delay > 0 ? [{ kind: "delay", ms: delay } as const] : [];
    await using servers = await startServers({ size: SIZE, faults: Array.from({ length: count }, () => faults) });
    await using raw = rawPools(servers.urls);
    await using opened = await openDavPool({
      servers: servers.urls.map((url, index) => ({ serverId: `s${index}`, url, maxConnections: CONCURRENCY })),
    });
    const subject = throughDavpool(opened.pool, count);
    const settings = { concurrency: CONCURRENCY, size: SIZE, progress, signal, ...options };
    const comparison = await interleaved(raw, subject, settings);
    const [rate, cpu] = [ratio(comparison, "rate"), ratio(comparison, "cpu")];
    rows.push([
      subject.name,
      raw.name,
      delay === 0 ? "none" : `${delay} ms`,
      middle(comparison.subjectSamples, "rate").toFixed(0),
      middle(comparison.peerSamples, "rate").toFixed(0),
      rate.toFixed(2),
      cpu.toFixed(2),
    ]);
    const what = `${subject.name} against ${raw.name}, delay ${delay} ms`;
    promises.expect(rate >= leastRate, `${what}: at least ${leastRate} of its rate`, rate.toFixed(3));
    promises.expect(cpu <= mostCpu, `${what}: at most ${mostCpu} of its processor time per request`, cpu.toFixed(3));
  }
  const heading = `${SIZE} bytes, ${CONCURRENCY} at a time, ${options.pairs} pairs of ${options.seconds} s; medians, ratios pair by pair`;
  const head = ["subject", "peer", "server's delay", "requests/s", "peer's", "rate ratio", "CPU per request ratio"];
  return { text: `${heading}\n\n${table(head, rows)}`, broken: promises.broken };
}

function rawPools(urls: readonly string[]): Subject & AsyncDisposable {
  const targets = urls.map((url) => {
    const { origin, pathname } = new URL(url);
    return { pool: new Pool(origin, { connections: CONCURRENCY }), path: pathname + FILE.slice(1) };
  });
  let turn = 0;
  return {
    name: urls.length === 1 ? "undici.Pool" : `round-robin over ${urls.length} undici.Pools`,
    async run() {
      const { pool, path } = targets[turn++ % targets.length] as (typeof targets)[number];
      const { body } = await pool.request({ method: "GET", path });
      return (await body.arrayBuffer()).byteLength;
    },
    [Symbol.asyncDispose]: async () => void (await Promise.all(targets.map(({ pool }) => pool.close()))),
  };
}

function throughDavpool(pool: DavPool, servers: number): Subject {
  return {
    name: `davpool, ${servers} ${servers === 1 ? "server" : "servers"}`,
    run: async () => (await pool.execute({ method: "GET", path: FILE }, { consume: consumeSize })).value.size,
  };
}
