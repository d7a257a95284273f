import { styleText } from "node:util";
import type { Screen } from "../terminal.ts";
import type { PoolReport, ServerReport, StatusReport } from "./report.ts";
import { cut, oneLine, table, type Cell, type Colour, type Column } from "./table.ts";

const SERVERS: readonly Column[] = [
  { title: "POOL" },
  { title: "  SERVER" },
  { title: "TIER", align: "right" },
  { title: "GROUP" },
  { title: "HEALTH" },
  { title: "LATENCY", align: "right" },
  { title: "UPTIME", align: "right" },
  { title: "SOCKETS", align: "right" },
  { title: "ORIGIN" },
  { title: "PROBLEM" },
];

const POOLS: readonly Column[] = [
  { title: "POOL" },
  { title: "USABLE" },
  { title: "ACTIVE" },
  { title: "REQUESTS", align: "right" },
  { title: "FAILED", align: "right" },
  { title: "FAILOVERS", align: "right" },
  { title: "AVERAGE", align: "right" },
];

const COLOURS: Readonly<Record<ServerReport["health"], Colour>> = {
  healthy: "green",
  degraded: "yellow",
  unhealthy: "red",
  disabled: "gray",
  unknown: "gray",
};

const NONE = "-";
const LEGEND =
  "* is preferred now. Health, latency and sockets are those of a check made just now; uptime and requests, what davpool serve last recorded.";

/** What was found out, for people. */
export function picture(report: StatusReport, screen?: Screen): string {
  const { pools, errors } = report;
  const servers = pools.flatMap((pool) => pool.servers.map((server) => serverRow(pool, server)));
  const warn = (text: string) => {
    const line = cut(oneLine(text), screen?.columns ?? Infinity);
    return `${screen?.colours ? styleText("red", line, { validateStream: false }) : line}\n`;
  };
  const warnings = [
    ...pools.filter(({ usable }) => !usable).map(({ name }) => warn(`Pool ${name} has no usable server.`)),
    ...errors.map(warn),
  ];
  return [
    table(SERVERS, servers, screen),
    table(POOLS, pools.map(poolRow), screen),
    ...(warnings.length > 0 ? [warnings.join("")] : []),
    wrapped(LEGEND, screen),
  ].join("\n");
}

function serverRow(pool: PoolReport, server: ServerReport): readonly Cell[] {
  const { serverId, priority, group, health, latency, connections, origin, recorded } = server;
  return [
    pool.name,
    `${serverId === pool.preferredServerId ? "*" : " "} ${serverId}`,
    String(priority),
    group ?? NONE,
    { text: health, colour: COLOURS[health] },
    latency === undefined ? NONE : time(latency),
    // Rounded down: what was away for a moment was not there all the time.
    recorded ? `${Math.floor(recorded.uptime * 10) / 10} %` : NONE,
    `${connections.active + connections.idle} of ${connections.max}`,
    origin,
    problem(server),
  ];
}

function problem({ health, problem, recorded }: ServerReport): string {
  if (problem !== undefined) return problem;
  // Those that serve the pool may know more than one check can tell.
  if (health !== "healthy" || !recorded || recorded.status === "healthy") return "";
  return `answers again; recorded as ${recorded.status}${recorded.lastCheck === undefined ? "" : ` at ${recorded.lastCheck}`}`;
}

function poolRow({ name, servers, activeServerId, requests }: PoolReport): readonly Cell[] {
  const usable = servers.filter(({ health }) => health === "healthy" || health === "degraded").length;
  const share = `${usable} of ${servers.length}`;
  return [
    name,
    usable === 0 ? { text: share, colour: "red" } : share,
    activeServerId ?? NONE,
    ...(requests
      ? [
          String(requests.total),
          String(requests.failed),
          String(requests.failoverCount),
          requests.successful === 0 ? NONE : time(requests.averageResponseTime),
        ]
      : [NONE, NONE, NONE, NONE]),
  ];
}

function time(ms: number): string {
  return `${ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms)} ms`;
}

/** Broken between words where there is an edge. */
function wrapped(text: string, screen: Screen | undefined): string {
  const room = screen?.columns ?? Infinity;
  let line = "";
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].map((one) => `${one}\n`).join("");
}
