import { openPools, resolveConfig, type OpenPools, type Pool as DavPool } from "@davpool/core";
import { builtIns } from "@davpool/mcp-server";
import type { WebDavWire } from "@davpool/transport-webdav";
import { Pool } from "undici";
import { interleaved, median, type Comparison, type Subject } from "./measure.ts";
import { FILE, startServers } from "./servers.ts";
import { table } from "./table.ts";

const CONCURRENCY = 64;
const SIZE = 1_024;

/**
 * What a pool costs: davpool over one and over three servers, against undici used directly. The servers run in a
 * process of their own; processor time is that of the client.
 */
export async function overhead(options: { pairs: number; seconds: number }): Promise<void> {
  const progress = (text: string) => process.stderr.write(`${text}\n`);
  const settings = { concurrency: CONCURRENCY, size: SIZE, progress, ...options };
  const comparisons: Comparison[] = [];
  for (const count of [1, 3]) {
    await using servers = await startServers(count, SIZE);
    await using raw = rawPools(servers.urls);
    await using pools = await davPools(servers.urls);
    const pool = pools.pools.get("files") as DavPool<WebDavWire>;
    comparisons.push(await interleaved(raw, throughDavpool(pool, count), settings));
  }
  const rows = comparisons.map(({ peer, subject, peerSamples, subjectSamples }) => {
    const ratio = (of: "rate" | "cpu") =>
      median(subjectSamples.map((sample, pair) => sample[of] / (peerSamples[pair]?.[of] ?? NaN)));
    return [
      subject,
      peer,
      median(subjectSamples.map((sample) => sample.rate)).toFixed(0),
      median(peerSamples.map((sample) => sample.rate)).toFixed(0),
      ratio("rate").toFixed(2),
      ratio("cpu").toFixed(2),
    ];
  });
  process.stdout.write(
    `${SIZE} bytes, ${CONCURRENCY} at a time, ${options.pairs} pairs of ${options.seconds} s; medians, ratios pair by pair\n` +
      `${table(["subject", "peer", "requests/s", "peer's", "rate ratio", "CPU per request ratio"], rows)}\n`,
  );
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

async function davPools(urls: readonly string[]): Promise<OpenPools> {
  const servers = urls.map((url, index) => ({ serverId: `s${index}`, url, maxConnections: CONCURRENCY }));
  const config = await resolveConfig(
    { store: "memory", pools: { files: { transport: "webdav", servers } } },
    { baseDirectory: process.cwd(), plugins: builtIns },
  );
  return openPools(config);
}

function throughDavpool(pool: DavPool<WebDavWire>, servers: number): Subject {
  const consume = async ({ body }: WebDavWire["response"]) => (await body.read()).bytes.byteLength;
  return {
    name: `davpool, ${servers} ${servers === 1 ? "server" : "servers"}`,
    run: async () => (await pool.execute({ method: "GET", path: FILE }, { consume })).value,
  };
}
