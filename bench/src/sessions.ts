import { mkdtemp, rm, writeFile, chmod } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createWebDavServer } from "@davpool/testkit";
import { startApache } from "@davpool/testkit/real-servers";
import { Promises, defineBenchmark, type Report, type Surroundings } from "./benchmark.ts";
import { Member, Outcomes, people } from "./crowd.ts";
import { socketsOf, startDavpool, type DavpoolProcess } from "./mcp-processes.ts";
import { median } from "./measure.ts";
import { openLoop } from "./open-loop.ts";
import { percentile } from "./percentile.ts";
import { table } from "./table.ts";

/** Milliseconds: what seed 2 promises a user. */
const FIRST = 1_000;
const LATER = 200;
/** Bytes of an idle session. */
const IDLE_SESSION = 100 * 1_024;
/** Bytes by which memory may have grown when every session is gone: compiled code and full tables. */
const GROWTH = 6 * 2 ** 20;
/** Sockets that may come and go by themselves: health checks. */
const SOCKETS = 4;
/** Sessions of the crowd that are opened at a time, and that make calls of every kind at a time. */
const OPENING = 64;
const BUSY = 32;
const FILE = "/shared.txt";
const CONTENT = "text for everybody";

export interface SessionsOptions {
  readonly users: number;
  readonly seconds: number;
  readonly rate: number;
  readonly long: number;
  readonly sessions: number;
  readonly rounds: number;
  readonly idle: number;
  readonly limit: number;
}

/** Sessions of many users at a time, against real servers: how fast, how separate, and what is left of them. */
export const sessions = defineBenchmark({
  summary: "sessions of many users over HTTP: how fast, how separate, and what is left of them",
  options: {
    users: { default: 100, meaning: "users with a session each, for times" },
    seconds: { default: 60, meaning: "time of their calls" },
    rate: { default: 200, meaning: "their calls in a second, together" },
    long: { default: 30, meaning: "seconds of the long operation meanwhile" },
    sessions: { default: 1_000, meaning: "sessions of as many users, for mix-ups and memory" },
    rounds: { default: 5, meaning: "rounds of mixed calls in each" },
    idle: { default: 60, meaning: "seconds without use after which their sessions end" },
    limit: { default: 5, meaning: "seconds that one of their calls may take" },
  },
  run: runSessions,
});

export async function runSessions(options: SessionsOptions, surroundings: Surroundings): Promise<Report> {
  const promises = new Promises();
  const root = await mkdtemp(join(tmpdir(), "davpool-sessions-"));
  try {
    await writeFile(join(root, FILE), CONTENT);
    // Apache may run as somebody else.
    await chmod(root, 0o777);
    await using one = await startApache({ root });
    await using two = await startApache({ root });
    const servers = [one, two].map(({ url }, index) => ({ serverId: `s${index}`, url, maxConnections: 64 }));
    const users = await measureUsers(servers, options, surroundings, promises);
    const crowd = await measureCrowd(servers, options, surroundings, promises);
    return { text: `${users}\n\n${crowd}`, broken: promises.broken };
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

async function measureUsers(
  servers: readonly object[],
  { users, seconds, rate, long }: SessionsOptions,
  { signal, progress }: Surroundings,
  promises: Promises,
): Promise<string> {
  const everybody = people(users + 1);
  await using slow = await createWebDavServer();
  slow.tree.write(FILE, CONTENT);
  await slow.inject({ kind: "delay", ms: long * 1_000, methods: ["GET"] });
  // The usual limit is just as long as the operation.
  const limits = { operationTimeout: "60s" };
  await using davpool = await startDavpool(
    configuration(servers, slow.url, { timeout: 60_000 }, everybody.tokens, limits),
  );
  const outcomes = new Outcomes();
  const members = everybody.people.map((person, number) => new Member(davpool.url, number, person, outcomes));
  const [patient, ...others] = members as [Member, ...Member[]];
  try {
    progress(`${users} users open their sessions`);
    const first = await Promise.all(others.map((member) => timed(() => opened(member))));
    await patient.open();
    progress(`${rate} calls a second for ${seconds} s`);
    const operation = long > 0 ? timed(() => patient.read(FILE, CONTENT, "slow")) : Promise.resolve(0);
    const later: number[] = [];
    let turn = 0;
    await openLoop({ rate, seconds, signal }, async (scheduledAt) => {
      const member = others[turn++ % others.length] as Member;
      await (turn % 10 === 0 ? member.look() : member.read(FILE, CONTENT)).catch((error: unknown) =>
        outcomes.failed.push(String(error)),
      );
      later.push(performance.now() - scheduledAt);
    });
    const took = await operation;
    const slowest = Math.max(...first);
    const late = percentile(later, 0.99);
    promises.expect(slowest <= FIRST, `a user's first request takes ${FIRST} ms at most`, ms(slowest));
    promises.expect(late <= LATER, `99 of 100 later requests take ${LATER} ms at most`, ms(late));
    promises.expect(outcomes.failed.length === 0, "no request fails", outcomes.summary());
    return `${users} users, ${rate} calls a second for ${seconds} s, two Apache servers\n\n${table(
      ["what", "median", "99 of 100", "slowest"],
      [
        ["first request, with the session", ...figures(first)],
        ["later requests", ...figures(later)],
        [`operation of ${long} s meanwhile`, "", "", ms(took)],
        ["failed requests", "", "", String(outcomes.failed.length)],
      ],
    )}`;
  } finally {
    for (const member of members) await member[Symbol.asyncDispose]();
  }
}

async function measureCrowd(
  servers: readonly object[],
  { sessions: count, rounds, idle, limit }: SessionsOptions,
  { signal, progress }: Surroundings,
  promises: Promises,
): Promise<string> {
  const everybody = people(count);
  await using slow = await createWebDavServer({ logLimit: 1 });
  await slow.inject({ kind: "delay", ms: 60_000, methods: ["GET"] });
  const limits = { operationTimeout: `${limit}s`, idle: `${idle}s` };
  const config = configuration(servers, slow.url, { timeout: 30_000 }, everybody.tokens, limits);
  await using davpool = await startDavpool(config);
  const outcomes = new Outcomes();
  const crowd = (from: number, to: number) =>
    everybody.people.slice(from, to).map((person, number) => new Member(davpool.url, from + number, person, outcomes));

  progress("warming up");
  const first = crowd(0, Math.ceil(count / 10));
  await live(first, 1, signal);
  await left(first, davpool, idle, signal);
  const start = { memory: await davpool.memory(), sockets: socketsOf(davpool.pid) };

  progress(`${count} sessions make mixed calls`);
  const members = crowd(0, count);
  await live(members, rounds, signal);
  for (const member of members) await member[Symbol.asyncDispose]();
  const full = { memory: await davpool.memory(), sockets: socketsOf(davpool.pid) };
  progress(`waiting ${idle} s for the sessions to end`);
  await left(members, davpool, idle, signal);
  const end = { memory: await davpool.memory(), sockets: socketsOf(davpool.pid) };
  const [known] = crowd(0, 1) as [Member];
  await using late = known;
  await late.open();

  const each = (full.memory - start.memory) / count;
  promises.expect(
    outcomes.mixed.length === 0,
    "no answer reaches another session",
    `${outcomes.mixed.length}: ${outcomes.mixed[0]}`,
  );
  promises.expect(outcomes.failed.length === 0, "every call is answered as it should be", outcomes.summary());
  promises.expect(each <= IDLE_SESSION, `an idle session takes ${kib(IDLE_SESSION)} at most`, kib(each));
  promises.expect(
    end.memory - start.memory <= GROWTH,
    `memory returns to the start within ${kib(GROWTH)}`,
    kib(end.memory - start.memory),
  );
  promises.expect(
    end.sockets - start.sockets <= SOCKETS,
    `sockets return to the start within ${SOCKETS}`,
    `${start.sockets}, then ${end.sockets}`,
  );
  const rows = [
    ...[...outcomes.counts]
      .toSorted(([one], [other]) => one.localeCompare(other))
      .map(([what, number]) => [`calls ${what}`, String(number)]),
    ["answers that reached another session", String(outcomes.mixed.length)],
    ["calls answered otherwise than they should be", String(outcomes.failed.length)],
    ["memory of an idle session", kib(each)],
    ["memory at the start", kib(start.memory)],
    ["with all sessions", kib(full.memory)],
    ["after the idle limit", kib(end.memory)],
    ["sockets at the start", String(start.sockets)],
    ["with all sessions, idle", String(full.sockets)],
    ["after the idle limit", String(end.sockets)],
  ];
  return `${count} sessions of ${count} users, ${rounds} rounds of mixed calls in each\n\n${table(["what", "figure"], rows)}`;
}

/** Opens a session for each, and makes calls of every kind in all of them, some at a time. */
async function live(members: readonly Member[], rounds: number, signal: AbortSignal): Promise<void> {
  await inTurn(members, OPENING, (member) => member.open());
  for (let round = 0; round < rounds; round++) {
    signal.throwIfAborted();
    await inTurn(members, BUSY, async (member, index) => {
      await Promise.all([
        member.writeAndRead(),
        member.read(FILE, CONTENT),
        member.look(),
        member.cancel(200 * Math.random()),
        member.disconnect(200 * Math.random()),
        ...((index + round) % 8 === 0 ? [member.runOutOfTime()] : []),
      ]);
    });
  }
}

async function inTurn(
  members: readonly Member[],
  atATime: number,
  run: (member: Member, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < members.length; index = next++) await run(members[index] as Member, index);
  };
  await Promise.all(Array.from({ length: atATime }, worker));
}

/** Lets go of the clients, and waits until their sessions have ended. */
async function left(
  members: readonly Member[],
  { pid }: DavpoolProcess,
  idle: number,
  signal: AbortSignal,
): Promise<void> {
  for (const member of members) await member[Symbol.asyncDispose]();
  // Sessions are looked at twice in that time, and idle connections to servers last a second.
  await delay(idle * 1_500 + 3_000, undefined, { signal });
  const patience = performance.now() + 10_000;
  let before = Infinity;
  for (let now = socketsOf(pid); now < before && performance.now() < patience; now = socketsOf(pid)) {
    before = now;
    await delay(1_000, undefined, { signal });
  }
}

async function opened(member: Member): Promise<void> {
  await member.open();
  await member.read(FILE, CONTENT);
}

function configuration(
  servers: readonly object[],
  slow: string,
  pool: object,
  tokens: readonly object[],
  limits: object = {},
): object {
  return {
    pools: {
      files: {
        transport: { type: "webdav", idleTimeout: "1s" },
        deadline: "60s",
        serverDefaults: pool,
        servers: [...servers, { serverId: "slow", url: slow, priority: 2, maxConnections: 5_000 }],
      },
    },
    identity: { tokens },
    sessions: limits,
  };
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

function figures(times: readonly number[]): readonly string[] {
  return [median(times), percentile(times, 0.99), percentile(times, 1)].map(ms);
}

function ms(time: number): string {
  return `${time.toFixed(0)} ms`;
}

function kib(bytes: number): string {
  return `${(bytes / 1_024).toFixed(0)} KiB`;
}
