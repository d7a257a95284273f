import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { bundleCommand } from "../../scripts/bundle-command.ts";
import { Promises, defineBenchmark, type Report, type Surroundings } from "./benchmark.ts";
import { McpHttp, PROTOCOL, type Answered, type ToolUse } from "./mcp-client.ts";
import {
  configured,
  processorTime,
  smallestOverStdio,
  startDavpool,
  startSmallest,
  type McpProcess,
} from "./mcp-processes.ts";
import { interleaved, median, middle, ratio, type Subject } from "./measure.ts";
import { FILE, startServers } from "./servers.ts";
import { table } from "./table.ts";

const CONCURRENCY = 64;
const SIZE = 1_024;
const CONTENT = "a".repeat(SIZE);
/** Least rate of a warm call, against the smallest server's. */
const WARM = 0.8;
/** Least rate of a session that is reused, against one opened for each call. */
const REUSED = 2.5;
/** Most time from start to the first answer over stdio, against the smallest server's. */
const START = 1.5;

/** What serving MCP costs, against the smallest server that the SDK can make. Every server is a process of its own. */
export const http = defineBenchmark({
  summary: "what serving MCP costs, against the smallest server of the SDK",
  options: {
    pairs: { default: 7, meaning: "comparisons of each kind" },
    seconds: { default: 3, meaning: "time of each measurement" },
  },
  run: measureHttp,
});

async function measureHttp(
  options: { readonly pairs: number; readonly seconds: number },
  surroundings: Surroundings,
): Promise<Report> {
  const promises = new Promises();
  const rows: string[][] = [];
  await using dav = await startServers({ size: SIZE, faults: [[]] });
  const [url = ""] = dav.urls;
  const file = url + FILE.slice(1);
  const pools = {
    files: { transport: "webdav", servers: [{ serverId: "s0", url, maxConnections: CONCURRENCY }] },
  };
  await using davpool = await startDavpool({ pools });
  await using sessions = await startSmallest("sessions", file);
  await using stateless = await startSmallest("stateless", file);
  const settings = { concurrency: CONCURRENCY, size: SIZE, ...options, ...surroundings };
  const request: ToolUse = { name: "dav_request", arguments: { method: "GET", path: FILE } };
  const smallest: ToolUse = { name: "get", arguments: {} };

  const compare = async (peer: Subject, subject: Subject, least: number) => {
    const comparison = await interleaved(peer, subject, settings);
    const [rate, cpu] = [ratio(comparison, "rate"), ratio(comparison, "cpu")];
    rows.push([
      subject.name,
      peer.name,
      middle(comparison.subjectSamples, "rate").toFixed(0),
      middle(comparison.peerSamples, "rate").toFixed(0),
      rate.toFixed(2),
      cpu.toFixed(2),
    ]);
    promises.expect(rate >= least, `${subject.name}: at least ${least} of the rate of ${peer.name}`, rate.toFixed(3));
  };
  {
    await using one = await warm(sessions, smallest);
    await using other = await warm(davpool, request);
    await compare({ ...one, name: "smallest server, session" }, { ...other, name: "davpool, session" }, WARM);
  }
  {
    await using one = current(stateless, smallest);
    await using other = current(davpool, request);
    await compare({ ...one, name: "smallest server, 2026-07-28" }, { ...other, name: "davpool, 2026-07-28" }, WARM);
  }
  {
    await using one = anew(davpool, request);
    await using other = await warm(davpool, request);
    await compare({ ...one, name: "davpool, a session per call" }, { ...other, name: "davpool, session" }, REUSED);
  }
  const start = await startTimes({ pools }, file, options.pairs, surroundings);
  promises.expect(
    start.ratio <= START,
    `over stdio the first answer comes within ${START} of the smallest server's time`,
    start.ratio.toFixed(3),
  );

  const heading = `${SIZE} bytes, ${CONCURRENCY} at a time, ${options.pairs} pairs of ${options.seconds} s; medians, ratios pair by pair`;
  const head = ["subject", "peer", "requests/s", "peer's", "rate ratio", "CPU per request ratio"];
  const startHead = ["from start to first answer over stdio", "ms", "ratio"];
  const startRows = [
    ["smallest server", start.peer.toFixed(0), ""],
    ["davpool", start.subject.toFixed(0), start.ratio.toFixed(2)],
  ];
  return {
    text: `${heading}\n\n${table(head, rows)}\n\n${table(startHead, startRows)}`,
    broken: promises.broken,
  };
}

type Calls = AsyncDisposable & Pick<Subject, "run" | "processorTime">;

/** Calls in sessions that are open already, one for each call at a time. */
async function warm(server: McpProcess, use: ToolUse): Promise<Calls> {
  const client = new McpHttp(server.url);
  const free = await Promise.all(Array.from({ length: CONCURRENCY }, () => client.open()));
  return calls(client, server, async () => {
    const session = free.pop() as string;
    try {
      return await client.call(session, use);
    } finally {
      free.push(session);
    }
  });
}

/** Calls by the protocol without sessions. */
function current(server: McpProcess, use: ToolUse): Calls {
  const client = new McpHttp(server.url);
  return calls(client, server, () => client.callCurrent(use));
}

/** Opens a session for each call, and ends it. */
function anew(server: McpProcess, use: ToolUse): Calls {
  const client = new McpHttp(server.url);
  return calls(client, server, async () => {
    const session = await client.open();
    const answer = await client.call(session, use);
    await client.end(session);
    return answer;
  });
}

function calls(client: McpHttp, { pid }: McpProcess, call: () => Promise<Answered>): Calls {
  return {
    run: async () => {
      const { text, status } = await call();
      if (!text.includes(CONTENT)) throw new Error(`An answer has not the file in it: ${status} ${text.slice(0, 500)}`);
      return SIZE;
    },
    processorTime: () => processorTime(pid),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

async function startTimes(
  config: object,
  file: string,
  pairs: number,
  { signal, progress }: Surroundings,
): Promise<{ readonly peer: number; readonly subject: number; readonly ratio: number }> {
  await using place = await configured(config);
  const peer = () => firstAnswer(smallestOverStdio(file), place.folder);
  // As it is published.
  const command = await bundleCommand(join(place.folder, "command"));
  const subject = () => firstAnswer([command, "serve"], place.folder);
  const times: [number[], number[]] = [[], []];
  // Once without counting: then everything has been read from the disk.
  for (const start of [peer, subject]) await start();
  // They are short, and the noise of one is great.
  for (let pair = 1; pair <= 3 * pairs; pair++) {
    signal.throwIfAborted();
    progress(`start over stdio: pair ${pair} of ${3 * pairs}`);
    for (const index of pair % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const))
      times[index].push(await (index === 0 ? peer : subject)());
  }
  const [peers, subjects] = times;
  return {
    peer: median(peers),
    subject: median(subjects),
    ratio: median(subjects.map((time, pair) => time / (peers[pair] ?? NaN))),
  };
}

/** Milliseconds from the start of a process until it has answered `initialize`. */
async function firstAnswer(parameters: readonly string[], folder: string): Promise<number> {
  const start = performance.now();
  const child = spawn(process.execPath, [...parameters], { cwd: folder, stdio: ["pipe", "pipe", "ignore"] });
  const gone = once(child, "exit");
  const params = { protocolVersion: PROTOCOL, capabilities: {}, clientInfo: { name: "bench", version: "1.0.0" } };
  child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params })}\n`);
  let text = "";
  for await (const chunk of child.stdout.setEncoding("utf8") as AsyncIterable<string>) {
    text += chunk;
    if (text.includes("\n")) break;
  }
  const time = performance.now() - start;
  child.kill("SIGKILL");
  await gone;
  if (!text.includes('"serverInfo"')) throw new Error(`${parameters.join(" ")} did not answer: ${text}`);
  return time;
}
