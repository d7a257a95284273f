import { isDeepStrictEqual } from "node:util";
import { Promises, defineBenchmark, type Report, type Surroundings } from "./benchmark.ts";
import { McpHttp } from "./mcp-client.ts";
import {
  DAVPOOL,
  configured,
  passThroughOverStdio,
  processorTime,
  startDavpool,
  startPassThrough,
  startUpstream,
  upstreamOverStdio,
  type McpProcess,
} from "./mcp-processes.ts";
import { startMcpProxy } from "./mcp-proxy.ts";
import { McpStdio } from "./mcp-stdio-client.ts";
import { interleaved, middle, ratio, type Subject } from "./measure.ts";
import { table } from "./table.ts";
import { ECHO, TOOLS } from "./upstream-tools.ts";

/** Requests under way at any time; over HTTP as many sessions. */
const CONCURRENCY = 32;
/** Characters of what is sent and comes back. */
const SIZE = 1_024;
/** Least rate of lists, against the server itself. */
const LISTS = 1;
/** Least rate of calls, against the smallest gateway. */
const CALLS = 0.85;
/** Characters by which two answers with the same list may differ: ids. */
const IDS = 64;

/** What stands before MCP servers costs. Every server and gateway is a process of its own. */
export const gateway = defineBenchmark({
  summary: `what a gateway before a server of ${TOOLS.length} tools costs, against none, the smallest one, and mcp-proxy`,
  options: {
    pairs: { default: 7, meaning: "comparisons of each kind" },
    seconds: { default: 3, meaning: "time of each measurement" },
  },
  run: measureGateway,
});

/** A way to ask. */
interface Connection extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** Sends one request. @returns the text of its answer */
  readonly ask: (method: string, params: object) => Promise<string>;
}

async function measureGateway(
  options: { readonly pairs: number; readonly seconds: number },
  surroundings: Surroundings,
): Promise<Report> {
  const promises = new Promises();
  const rows: string[][] = [];
  const settings = { concurrency: CONCURRENCY, size: SIZE, ...options, ...surroundings };
  const compare = async (peer: Subject, subject: Subject, least?: number) => {
    const comparison = await interleaved(peer, subject, settings);
    const rate = ratio(comparison, "rate");
    const row = [
      middle(comparison.subjectSamples, "rate").toFixed(0),
      middle(comparison.peerSamples, "rate").toFixed(0),
      rate.toFixed(2),
      ratio(comparison, "cpu").toFixed(2),
    ];
    rows.push([subject.name, peer.name, ...row]);
    if (least === undefined) return;
    promises.expect(rate >= least, `${subject.name}: at least ${least} of the rate of ${peer.name}`, rate.toFixed(3));
  };
  const against = async (direct: Connection, smallest: Connection, davpool: Connection) => {
    await compare(await lists(direct), await lists(davpool), LISTS);
    await compare(calls(smallest), calls(davpool), CALLS);
    await compare(calls(direct), calls(davpool));
  };

  const server = { serverId: "s", maxConnections: CONCURRENCY };
  const poolOf = (where: object, sessions = "auto") => ({
    pools: { up: { transport: { type: "mcp", sessions }, servers: [{ ...server, ...where }] } },
  });
  const command = upstreamOverStdio();
  {
    await using place = await configured(poolOf({ command }));
    await using direct = await overStdio("the server, stdio", command);
    await using smallest = await overStdio("smallest gateway, stdio", passThroughOverStdio());
    await using davpool = await overStdio("davpool, stdio", [process.execPath, DAVPOOL, "serve"], place.folder);
    await against(direct, smallest, davpool);
  }
  {
    await using upstream = await startUpstream();
    await using passThrough = await startPassThrough(upstream.url);
    await using pool = await startDavpool(poolOf({ url: upstream.url }));
    await using direct = await overHttp("the server, HTTP", upstream);
    await using smallest = await overHttp("smallest gateway, HTTP", passThrough);
    await using davpool = await overHttp("davpool, HTTP", pool);
    await against(direct, smallest, davpool);
  }
  {
    await using proxy = await startMcpProxy(command, surroundings.signal);
    // One process for all clients, as mcp-proxy has it.
    await using pool = await startDavpool(poolOf({ command }, "shared"));
    await using other = await overHttp("mcp-proxy, HTTP to stdio", proxy);
    await using davpool = await overHttp("davpool, HTTP to stdio", pool);
    await compare(await lists(other), await lists(davpool), 1);
    await compare(calls(other), calls(davpool), 1);
  }

  const heading = `${TOOLS.length} tools, calls of ${SIZE} characters, ${CONCURRENCY} at a time, ${options.pairs} pairs of ${options.seconds} s; medians, ratios pair by pair`;
  const head = ["subject", "peer", "requests/s", "peer's", "rate ratio", "CPU per request ratio"];
  return { text: `${heading}\n\n${table(head, rows)}`, broken: promises.broken };
}

async function overStdio(name: string, command: readonly string[], folder?: string): Promise<Connection> {
  const client = await McpStdio.start(command, folder);
  return {
    name,
    pid: client.pid,
    ask: (method, params) => client.ask(method, params),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

/** In sessions that are open already, one for each request at a time. */
async function overHttp(name: string, { url, pid }: McpProcess): Promise<Connection> {
  const client = new McpHttp(url);
  const free = await Promise.all(Array.from({ length: CONCURRENCY }, () => client.open()));
  return {
    name,
    pid,
    ask: async (method, params) => {
      const session = free.pop() as string;
      try {
        return (await client.ask(session, method, params)).text;
      } finally {
        free.push(session);
      }
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

/** Calls of a tool. Each has a text of its own, which is to come back. */
function calls({ name, pid, ask }: Connection): Subject {
  let number = 0;
  return {
    name: `${name}, tools/call`,
    async run() {
      const text = `call ${++number} `.padEnd(SIZE, "a");
      const answer = await ask("tools/call", { name: ECHO, arguments: { text } });
      if (!answer.includes(text)) throw new Error(`${name} gave another answer: ${answer.slice(0, 500)}`);
      return SIZE;
    },
    processorTime: () => processorTime(pid),
  };
}

/**
 * Lists of all tools. What is in one is compared with what the server has, tool by tool; of the others, which nobody could
 * read as fast as they come, the length and both ends.
 */
async function lists({ name, pid, ask }: Connection): Promise<Subject> {
  const list = () => ask("tools/list", {});
  // The first one may come before all is known, and then comes in another way.
  await list();
  const first = await list();
  const { result } = JSON.parse(first.slice(first.indexOf("{"), first.lastIndexOf("}") + 1)) as {
    result?: { readonly tools: unknown };
  };
  if (!isDeepStrictEqual(result?.tools, TOOLS)) throw new Error(`${name} lists other tools: ${first.slice(0, 500)}`);
  const [start, end] = [TOOLS.at(0), TOOLS.at(-1)].map((tool) => `"name":"${tool?.name}"`) as [string, string];
  return {
    name: `${name}, tools/list`,
    async run() {
      const answer = await list();
      const isWhole = Math.abs(answer.length - first.length) <= IDS && answer.includes(start);
      if (!isWhole || answer.lastIndexOf(end) === -1)
        throw new Error(`${name} listed something else: ${answer.slice(0, 500)}`);
      return SIZE;
    },
    processorTime: () => processorTime(pid),
  };
}
