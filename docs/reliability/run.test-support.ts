import { setImmediate as turn } from "node:timers/promises";
import {
  createManualClock,
  isDavpoolError,
  openPools,
  resolveConfig,
  type AttemptRecord,
  type Pool,
  type ResolvedConfig,
  type Wire,
} from "@davpool/core";
import { builtIns } from "@davpool/mcp-server";
import {
  createFaultProxy,
  createWebDavCluster,
  ManualClock,
  type FaultProxy,
  type WebDavCluster,
  type WebDavServer,
} from "@davpool/testkit";
import type { FaultRow } from "./faults.test-support.ts";
import { DEADLINE, RETRIES, TIMEOUT, type Expected, type Method, type Where } from "./rules.test-support.ts";

interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** As much of the transport's types as is needed here. */
interface DavWire extends Wire {
  request: Request;
  response: { readonly status: number; readonly body: { read(): Promise<unknown> } };
}

/** Servers that share one tree, and the way to the first one. */
export interface Site extends AsyncDisposable {
  readonly cluster: WebDavCluster;
  readonly proxy: FaultProxy | undefined;
  /** Of a pool of the first server, and of one of all. */
  readonly configs: { readonly one: ResolvedConfig; readonly all: ResolvedConfig };
  /** The servers' time. */
  readonly time: ManualClock;
}

export async function openSite(fault: FaultRow): Promise<Site> {
  const time = new ManualClock();
  const cluster = await createWebDavCluster({ clock: time });
  const [first] = cluster.servers as [WebDavServer];
  const proxy = fault.proxy && (await createFaultProxy({ target: first.url }));
  const url = new URL(proxy?.url ?? first.url);
  fault.address?.(url);
  return {
    cluster,
    proxy,
    configs: { one: await configOf([url.href]), all: await configOf([url.href, ...cluster.urls.slice(1)]) },
    time,
    [Symbol.asyncDispose]: async () => {
      await proxy?.[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

const LOCKINFO = `<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>`;

/** What a method needs beside its path. */
const REST: Record<Method, (path: string) => Omit<Request, "method" | "path">> = {
  GET: () => ({}),
  PROPFIND: () => ({ headers: { Depth: "0" } }),
  PUT: () => ({ body: "text" }),
  DELETE: () => ({}),
  MOVE: (path) => ({ headers: { Destination: `${path}-moved` } }),
  LOCK: () => ({ body: LOCKINFO }),
  POST: () => ({ body: "text" }),
};

/** Each case has a file of its own, so that none finds what another has left. */
function requestFor(method: Method, where: Where): Request {
  const path = `/${method}-${where}`;
  return { method, path, ...REST[method](path) };
}

/** Nothing is checked, so that every request which arrives is one of the call's. */
function configOf(urls: readonly string[]): Promise<ResolvedConfig> {
  return resolveConfig(
    {
      store: "memory",
      pools: {
        files: {
          transport: "webdav",
          deadline: DEADLINE,
          health: { enabled: false },
          serverDefaults: { timeout: TIMEOUT, retryAttempts: RETRIES },
          servers: urls.map((url, index) => ({ serverId: `s${index + 1}`, url, priority: index + 1 })),
        },
      },
    },
    { baseDirectory: "/", plugins: builtIns },
  );
}

async function openPool(config: ResolvedConfig) {
  const clock = createManualClock();
  const open = await openPools(config, { clock, random: () => 0.5 });
  const pool = open.pools.get("files") as Pool<DavWire>;
  return { clock, pool, [Symbol.asyncDispose]: () => open[Symbol.asyncDispose]() };
}

/** Milliseconds of one step of time. */
const STEP = 10;

/** Runs one case: what came of it, in the terms in which it is expected. */
export async function run(site: Site, fault: FaultRow, method: Method, where: Where): Promise<Expected> {
  const { cluster, proxy, time } = site;
  const servers = where === "single" ? cluster.servers.slice(0, 1) : cluster.servers;
  const request = requestFor(method, where);
  if (method !== "PUT") cluster.tree?.write(request.path, "x".repeat(4_096));
  await using opened = await openPool(where === "single" ? site.configs.one : site.configs.all);
  const { clock, pool } = opened;
  if (fault.reused === true) {
    await pool.execute({ method: "OPTIONS", path: "/" }, { serverId: "s1", consume });
    // Its connection is taken again from the next turn on.
    await turn();
  }

  await using faults = new AsyncDisposableStack();
  // A fault that the server shows is shown to the request alone, not to a look at the state after it.
  const shown = fault.server && inCase(fault.server, method);
  const faulty = fault.everywhere === true ? servers : servers.slice(0, 1);
  if (shown) for (const server of faulty) faults.use(await server.inject(shown));
  const onTheWay = fault.proxy && proxy && faults.use(await proxy.inject(fault.proxy));
  if (fault.othersTake !== undefined)
    for (const server of servers.slice(1))
      faults.use(await server.inject({ kind: "delay", ms: fault.othersTake * 1_000 }));

  const logged = (server: WebDavServer) =>
    server.requests.filter((entry) => entry.method === method && entry.path === request.path).length;
  // What the line has swallowed on its way is known to the line only.
  const sent = () =>
    servers.map((server, index) =>
      index === 0 && onTheWay ? Math.max(onTheWay.hits, logged(server)) : logged(server),
    );

  const start = clock.now();
  const settled = new AbortController();
  const call = outcomeOf(pool, request, where).finally(() => settled.abort());
  const begun = servers.map(() => 0);
  let busy = servers.map(() => false);
  for (await turn(); !settled.signal.aborted; await turn()) {
    const running = pool.list().map(({ inFlight }) => inFlight > 0);
    running.forEach((now, index) => {
      if (now && busy[index] === false) begun[index] = (begun[index] ?? 0) + 1;
    });
    busy = running;
    const server = running.indexOf(true);
    // Between two attempts the call waits for time alone.
    if (server < 0) clock.advance(STEP);
    else if (server < faulty.length) {
      const arrived = shown?.kind === "connect-timeout" || (sent()[server] ?? 0) >= (begun[server] ?? 0);
      if (fault.stalls !== true || !arrived) continue;
      time.advance(STEP);
      clock.advance(STEP);
    } else if (fault.othersTake !== undefined) time.advance(STEP);
  }
  const { outcome, attempts } = await call;
  return {
    outcome,
    servers: attempts.map(({ serverId }) => Number(serverId.slice(1))),
    sent: sent(),
    took: clock.now() - start,
  };
}

function inCase(fault: NonNullable<FaultRow["server"]>, method: Method): NonNullable<FaultRow["server"]> {
  return fault.kind === "refuse" || fault.kind === "connect-timeout" ? fault : { ...fault, methods: [method] };
}

async function consume({ status, body }: DavWire["response"]): Promise<number> {
  await body.read();
  return status;
}

async function outcomeOf(
  pool: Pool<DavWire>,
  request: Request,
  where: Where,
): Promise<{ readonly outcome: number | string; readonly attempts: readonly AttemptRecord[] }> {
  try {
    const { value, attempts } = await pool.execute(request, { consume, ...(where === "pinned" && { serverId: "s1" }) });
    return { outcome: value, attempts };
  } catch (error) {
    if (!isDavpoolError(error)) throw error;
    const { attempts = [] } = error as { readonly attempts?: readonly AttemptRecord[] };
    return { outcome: error.code, attempts };
  }
}
