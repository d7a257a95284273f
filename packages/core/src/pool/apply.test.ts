import { beforeEach, describe, expect, test } from "vitest";
import type { Notice } from "../contracts/notifier.ts";
import type { Pool, PoolEvents } from "../contracts/pool.ts";
import { resolveConfig, type ResolvedConfig } from "../config/resolve-config.ts";
import { corePlugins } from "../plugin/core-plugins.ts";
import { definePlugin, type AnyPlugin } from "../plugin/define-plugin.ts";
import { token } from "../plugin/scope.ts";
import {
  GET,
  PUT,
  ScriptedStore,
  advance,
  flush,
  recordingLog,
  scriptedPlugin,
  standing,
} from "../testing/pool-bench.test-support.ts";
import {
  ScriptedTransport,
  answer,
  hang,
  refuse,
  stream,
  type FlowingBody,
} from "../testing/scripted-transport.test-support.ts";
import { createManualClock, type ManualClock } from "../time/manual-clock.ts";
import { memoryAffinity } from "./affinity-memory.ts";
import { openPools, type OpenPools } from "./open-pools.ts";

const GREETING = token<{ readonly hello: string }>("test:apply-greeting");

let clock: ManualClock;
let transport: ScriptedTransport;
/** What happened to parts: `made strategy`, `closed store`. */
let parts: string[];
let stores: ScriptedStore[];
let notices: Notice[];
let plugins: AnyPlugin[];
const { log, lines } = recordingLog();

function noted<T extends object>(name: string, instance: T): T {
  parts.push(`made ${name}`);
  return Object.assign(instance, { [Symbol.asyncDispose]: () => Promise.resolve(parts.push(`closed ${name}`)) });
}

beforeEach(() => {
  clock = createManualClock();
  transport = new ScriptedTransport();
  parts = [];
  stores = [];
  notices = [];
  lines.length = 0;
  plugins = [
    ...corePlugins,
    { ...scriptedPlugin, create: () => transport },
    definePlugin({
      kind: "selector",
      name: "round-robin",
      create: () => noted("first", { select: ([one]: readonly [never, ...never[]]) => one }),
    }),
    definePlugin({
      kind: "selector",
      name: "last",
      create: () => noted("last", { select: (all: readonly [never, ...never[]]) => all.at(-1) as never }),
    }),
    definePlugin({
      kind: "store",
      name: "file",
      create: () => {
        const store = noted("store", new ScriptedStore());
        stores.push(store);
        return store;
      },
    }),
    definePlugin({
      kind: "notifier",
      name: "ear",
      create: () => noted("ear", { notify: (notice: Notice) => void notices.push(notice) }),
    }),
    definePlugin({
      kind: "policy",
      name: "broken",
      create: () => noted("broken", {}),
      start: () => Promise.reject(new Error("no licence")),
    }),
  ] as AnyPlugin[];
});

function config(pools: Readonly<Record<string, object>>, more: object = {}): Promise<ResolvedConfig> {
  const complete = Object.entries(pools).map(([name, pool]) => [
    name,
    { transport: "scripted", servers: [{ serverId: "a" }, { serverId: "b" }], health: { enabled: false }, ...pool },
  ]);
  return resolveConfig({ pools: Object.fromEntries(complete), ...more }, { baseDirectory: "/", plugins });
}

async function open(pools: Readonly<Record<string, object>>, more?: object): Promise<OpenPools> {
  return openPools(await config(pools, more), { clock, log, random: () => 0.5, environment: {} });
}

const pool = (of: OpenPools, name = "files"): Pool => of.pools.get(name) as Pool;
const servers = (...ids: string[]) => ids.map((serverId) => ({ serverId }));
const none = { added: [], removed: [], replaced: [], updated: [] };

function listen(to: Pool): { readonly event: keyof PoolEvents; readonly detail: unknown }[] {
  const heard: { event: keyof PoolEvents; detail: unknown }[] = [];
  const events = [
    "server-unhealthy",
    "server-degraded",
    "recovered",
    "failover",
    "servers-changed",
    "active-changed",
  ] as const;
  for (const event of events) to.on(event, (detail) => void heard.push({ event, detail }));
  return heard;
}

describe("a configuration that differs", () => {
  test("in nothing changes nothing", async () => {
    await using running = await open({ files: {} });
    parts.length = 0;
    expect(await running.apply(await config({ files: {} }))).toEqual(none);
    expect(parts).toEqual([]);
  });

  test("in servers changes them in place", async () => {
    await using running = await open({ files: {} });
    const heard = listen(pool(running));
    await pool(running).execute(GET);
    parts.length = 0;
    const changed = await config({ files: { servers: servers("a", "c") } });
    expect(await running.apply(changed)).toEqual({ ...none, updated: ["files"] });
    expect(running.config).toBe(changed);
    expect(
      pool(running)
        .list()
        .map((server) => server.serverId),
    ).toEqual(["a", "c"]);
    await pool(running).execute(GET);
    expect([parts, transport.server("a").opened]).toEqual([[], 1]);
    expect(heard.map(({ detail }) => detail)).toEqual([
      { serverId: "b", change: "removed" },
      { serverId: "c", change: "added" },
    ]);
  });

  test("in the order of servers counts as other settings, because it says who is first", async () => {
    await using running = await open({ files: {} });
    const reordered = await config({ files: { servers: servers("b", "a") } });
    expect(await running.apply(reordered)).toEqual({ ...none, replaced: ["files"] });
    expect(
      pool(running)
        .list()
        .map((server) => server.serverId),
    ).toEqual(["b", "a"]);
    const inserted = await config({ files: { servers: servers("c", "b", "a") } });
    expect(await running.apply(inserted)).toMatchObject({ replaced: ["files"] });
  });

  test("in settings has a new engine behind the same pool", async () => {
    await using running = await open({ files: {}, other: {} });
    const files = pool(running);
    expect((await files.execute(GET)).serverId).toBe("a");
    const changes = await running.apply(await config({ files: { strategy: "last" }, other: {} }));
    expect(changes).toEqual({ ...none, replaced: ["files"] });
    expect(pool(running)).toBe(files);
    expect((await files.execute(GET)).serverId).toBe("b");
    await flush();
    expect(transport.server("a").closed).toBe(1);
  });

  test("in pools adds those and closes the others", async () => {
    await using running = await open({ files: {}, old: {} });
    const old = pool(running, "old");
    const changes = await running.apply(await config({ young: {}, files: {} }));
    // The first pool may be kept elsewhere by its store.
    expect(changes).toEqual({ added: ["young"], removed: ["old"], replaced: ["files"], updated: [] });
    expect([...running.pools.keys()]).toEqual(["young", "files"]);
    await expect(old.execute(GET)).rejects.toMatchObject({ code: "POOL_CLOSED" });
    await expect(old.add({ serverId: "x" })).rejects.toMatchObject({ code: "POOL_CLOSED" });
    expect((await pool(running, "young").execute(GET)).serverId).toBe("a");
  });

  test("in rules or services puts new ones below every pool, and closes the old ones once nobody needs them", async () => {
    plugins.push(
      definePlugin({
        kind: "affinity",
        name: "polite",
        create: ({ services, clock: time }) =>
          noted(services.get(GREETING).hello + "'s affinity", memoryAffinity(time)),
      }),
    );
    const greeting = (hello: string) =>
      definePlugin({ kind: "service", name: "greeting", provides: GREETING, create: () => noted(hello, { hello }) });
    const [one, two] = [greeting("one"), greeting("two")];
    const polite = { affinity: "polite" };
    await using running = await open({ files: polite }, { plugins: [one] });
    const bodies: FlowingBody[] = [];
    transport.server("a").behaviour = stream(bodies);
    await pool(running).execute(GET);
    const next = await config({ files: polite }, { plugins: [two] });
    expect(await running.apply(next)).toEqual({ ...none, replaced: ["files"] });
    expect(running.services.get(GREETING).hello).toBe("two");
    expect(running.services.has(GREETING)).toBe(true);
    bodies[0]?.end();
    await flush();
    // The affinity lives on, and so does what it was made upon.
    expect(parts).toEqual(["made one", "made one's affinity", "made store", "made first", "made two"]);
    await running.apply(await config({ files: {} }, { plugins: [two] }));
    await flush();
    expect(parts.slice(5)).toEqual(["closed one's affinity", "closed one"]);
    const stricter = { plugins: [two], security: { allowHosts: ["10.0.0.0/8"] } };
    expect(await running.apply(await config({ files: {} }, stricter))).toEqual({ ...none, replaced: ["files"] });
    await flush();
    expect(parts.slice(7)).toEqual(["made two", "closed two"]);
  });
});

describe("a new engine", () => {
  test("knows what the old one counted, and who is unwell, and tells nobody anew", async () => {
    await using running = await open({ files: { notifiers: ["ear"], health: { enabled: false, failures: 2 } } });
    const files = pool(running);
    transport.server("a").behaviour = refuse;
    for (let call = 0; call < 3; call++) await files.execute(GET);
    expect(files.list()[0]?.health).toMatchObject({ status: "unhealthy", consecutiveFailures: 2 });
    const heard = listen(files);
    const [before, seen] = [files.list().map(({ health, attempts }) => ({ health, attempts })), notices.length];
    const statistics = files.stats();
    lines.length = 0;
    await running.apply(
      await config({ files: { notifiers: ["ear"], health: { enabled: false, failures: 2 }, deadline: "9s" } }),
    );
    expect(files.list().map(({ health, attempts }) => ({ health, attempts }))).toEqual(before);
    expect(files.stats()).toEqual({ ...statistics, totalConnections: { active: 0, idle: 0, max: 20 } });
    expect([heard, notices.length, lines]).toEqual([[], seen, []]);
    // Its way back is the same: one request tries it after the rest.
    transport.server("a").behaviour = answer();
    await advance(clock, 30_000);
    for (let call = 0; call < 3; call++) await files.execute(GET);
    expect(files.list()[0]?.health.status).toBe("healthy");
    expect(heard.map(({ event }) => event)).toContain("recovered");
    expect(notices.map(({ kind }) => kind)).toContain("recovered");
    expect(notices.filter(({ kind }) => kind === "recovered")).toHaveLength(1);
  });

  test("knows how slow a start a server is in", async () => {
    const settings = { health: { enabled: false, failures: 1, ejection: "1s", slowStart: "10s", successes: 1 } };
    await using running = await open({ files: settings });
    const files = pool(running);
    transport.server("a").behaviour = refuse;
    await files.execute(GET);
    transport.server("a").behaviour = answer();
    await advance(clock, 1_000);
    await files.execute(GET);
    const waiting = clock.pending;
    await running.apply(await config({ files: { ...settings, deadline: "9s" } }));
    await flush();
    expect(clock.pending).toBe(waiting);
    await advance(clock, 10_000, 1_000);
    expect(files.list()[0]?.health.status).toBe("healthy");
  });

  test("has the strategy, the store and the owners of locks of the old one where they are the same", async () => {
    await using running = await open({ files: {} });
    const files = pool(running);
    transport.server("a").behaviour = answer(200, { affinity: [{ learn: "lock-1", kind: "lock" }] });
    await files.execute(PUT);
    parts.length = 0;
    await running.apply(await config({ files: { deadline: "9s" } }));
    expect(parts).toEqual([]);
    await running.apply(await config({ files: { strategy: "last" } }));
    const bound = await files.execute({ ...PUT, boundTo: ["lock-1"] });
    expect(bound.serverId).toBe("a");
    await flush();
    expect(parts).toEqual(["made last", "closed first"]);
    // A server that is gone takes its locks along.
    await running.apply(await config({ files: { servers: servers("b", "c") } }));
    await expect(files.execute({ ...PUT, boundTo: ["lock-1"] })).rejects.toMatchObject({ code: "AFFINITY_UNKNOWN" });
  });

  test("forgets the locks and the health of servers that it does not have", async () => {
    await using running = await open({ files: { servers: servers("a", "b", "c") } });
    const files = pool(running);
    transport.server("a").behaviour = answer(200, { affinity: [{ learn: "lock-1", kind: "lock" }] });
    await files.execute(PUT);
    await running.apply(await config({ files: { strategy: "last", servers: servers("b", "c") } }));
    await expect(files.execute({ ...PUT, boundTo: ["lock-1"] })).rejects.toMatchObject({ code: "AFFINITY_UNKNOWN" });
  });

  test("leaves what was counted before in the store that was used then", async () => {
    const running = await open({ files: {} });
    const files = pool(running);
    await files.execute(GET);
    plugins.push(
      definePlugin({
        kind: "store",
        name: "second",
        create: () => {
          stores.push(new ScriptedStore());
          return stores.at(-1) as ScriptedStore;
        },
      }),
    );
    await running.apply(await config({ files: {} }, { store: "second" }));
    await flush();
    expect(stores[0]?.health.counters.total).toBe(1);
    await files.execute(GET);
    expect(files.stats().requestStats.total).toBe(2);
    await running[Symbol.asyncDispose]();
    expect(stores[1]?.health.counters.total).toBe(1);
  });

  test("finds the servers that were added, also one that is added meanwhile", async () => {
    await using running = await open({ files: {} });
    const files = pool(running);
    await files.add({ serverId: "x" });
    const applying = running.apply(await config({ files: { deadline: "9s" } }));
    const adding = files.add({ serverId: "y" });
    await Promise.all([applying, adding]);
    expect(files.list().map((server) => server.serverId)).toEqual(["a", "b", "x", "y"]);
    await files.activate("y");
    expect((await files.execute(GET)).serverId).toBe("y");
    await expect(files.update("nobody", {})).rejects.toMatchObject({ code: "UNKNOWN_SERVER" });
    await expect(files.remove("a")).rejects.toMatchObject({ code: "SERVER_DECLARED" });
    await files.apply([{ serverId: "a" }]);
    expect(files.preferredServerId).toBe("y");
  });

  test("tells listeners what is different, and the old one of nothing but its calls", async () => {
    await using running = await open({ files: {} });
    const files = pool(running);
    transport.server("a").behaviour = hang;
    const slow = files.execute(GET, { deadline: 60_000 });
    await flush();
    const heard = listen(files);
    const changed = [{ serverId: "a", timeout: 5 }, { serverId: "c" }, { serverId: "b", enabled: false }];
    await running.apply(await config({ files: { strategy: "last", servers: changed } }));
    expect(heard.map(({ detail }) => detail)).toEqual([
      { serverId: "a", change: "updated" },
      { serverId: "c", change: "added" },
      { serverId: "b", change: "updated" },
    ]);
    heard.length = 0;
    await advance(clock, 40_000, 100);
    expect((await slow).serverId).toBe("b");
    expect(heard.map(({ event }) => event)).toEqual(["failover"]);
  });
});

describe("calls that have begun", () => {
  test("end in the old engine, by their own deadline and not by the short one of closing", async () => {
    await using running = await open({ files: {} });
    const files = pool(running);
    let finish = () => {};
    transport.server("a").behaviour = async (attempt) => {
      attempt.sent();
      await new Promise<void>((resolve) => (finish = resolve));
      return { status: 200, serverId: "a", discarded: 0 };
    };
    const slow = files.execute(PUT);
    await flush();
    await running.apply(await config({ files: { strategy: "last" } }));
    await advance(clock, 20_000, 100);
    expect([await standing(slow), transport.server("a").closed]).toEqual(["pending", 0]);
    expect(files.stats().requestStats.total).toBe(0);
    finish();
    expect((await slow).serverId).toBe("a");
    await flush();
    expect(transport.server("a").closed).toBe(1);
    // It counts, although its engine was out of use.
    expect(files.stats().requestStats.total).toBe(1);
  });

  test("keep the connections of a server that is gone, until their bodies are through", async () => {
    const bodies: FlowingBody[] = [];
    await using running = await open({ files: {} });
    transport.server("a").behaviour = stream(bodies);
    await pool(running).execute(GET);
    await running.apply(await config({ files: { servers: servers("b") } }));
    await running.apply(await config({ files: { servers: servers("b"), deadline: "9s" } }));
    for (let second = 0; second < 100; second++) {
      bodies[0]?.flow(10);
      await advance(clock, 1_000, 100);
    }
    expect([transport.server("a").closed, bodies[0]?.attempt.signal.aborted]).toEqual([0, false]);
    bodies[0]?.end();
    await flush();
    expect(transport.server("a").closed).toBe(1);
  });

  test("are cut off five seconds after the pools are closed, whichever engine has them", async () => {
    const running = await open({ files: {}, gone: {} });
    transport.server("a").behaviour = hang;
    const options = { deadline: 60_000, serverId: "a" };
    const slow = [pool(running).execute(PUT, options), pool(running, "gone").execute(PUT, options)];
    const ends = Promise.allSettled(slow);
    await flush();
    await running.apply(await config({ files: { strategy: "last" } }));
    const closing = Promise.resolve(running[Symbol.asyncDispose]());
    await advance(clock, 4_900);
    expect(await standing(closing)).toBe("pending");
    await advance(clock, 200);
    expect((await ends).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await closing;
    await advance(clock, 20);
    expect(clock.pending).toBe(0);
    expect(parts.filter((part) => part.startsWith("made")).length).toBe(
      parts.filter((part) => part.startsWith("closed")).length,
    );
  });
});

describe("a configuration that cannot be applied", () => {
  test("leaves everything as it was, for all pools, and nothing behind", async () => {
    await using running = await open({ files: {}, other: {}, more: {} });
    const before = running.config;
    parts.length = 0;
    const opened = clock.pending;
    const wrong = await config({
      files: { strategy: "last" },
      more: { servers: servers("a", "z") },
      other: { policies: ["broken"] },
      young: {},
    });
    await expect(running.apply(wrong)).rejects.toThrow("no licence");
    expect(running.config).toBe(before);
    expect([...running.pools.keys()]).toEqual(["files", "other", "more"]);
    expect(pool(running, "more").list()).toHaveLength(2);
    expect((await pool(running).execute(GET)).serverId).toBe("a");
    expect(parts).toEqual(["made last", "made broken", "closed broken", "closed last"]);
    await advance(clock, 20);
    expect(clock.pending).toBe(opened);
    // And the pools can be changed again.
    await pool(running, "other").add({ serverId: "x" });
    expect(await running.apply(await config({ files: { strategy: "last" }, other: {}, more: {} }))).toMatchObject({
      replaced: ["files"],
    });
  });

  test("because a server is refused leaves the others as they were, and the next one is applied", async () => {
    await using running = await open({ files: {}, other: {} });
    transport.admit = ({ serverId }) => {
      if (serverId === "bad") throw new Error("bad address");
      return [];
    };
    const pools = { files: { servers: servers("a", "c") }, other: { servers: servers("a", "bad") } };
    await expect(running.apply(await config(pools))).rejects.toThrow("bad address");
    expect(pool(running).list()).toHaveLength(2);
    expect(await running.apply(await config({ files: { servers: servers("a", "c") }, other: {} }))).toMatchObject({
      updated: ["files"],
    });
  });

  test("tells which plugin cannot be closed again", async () => {
    const stuck = definePlugin({
      kind: "probe",
      name: "stuck",
      create: () => ({
        probe: () => Promise.reject(new Error("no")),
        [Symbol.dispose]() {
          throw new Error("cannot close");
        },
      }),
    });
    await using running = await open({ files: {} });
    const wrong = await config({ files: { probe: "stuck", policies: ["broken"] } }, { plugins: [stuck] });
    await expect(running.apply(wrong)).rejects.toThrow("no licence");
    const told = expect.stringContaining('The probe plugin "stuck" of pool "files" could not be closed: cannot close');
    expect(lines).toContainEqual({ level: "error", message: told });
    lines.length = 0;
    await running.apply(await config({ files: { probe: "stuck" } }, { plugins: [stuck] }));
    await running.apply(await config({ files: {} }));
    await flush();
    expect(lines).toContainEqual({ level: "error", message: told });
  });
});

describe("several at once", () => {
  test("are applied one after the other", async () => {
    await using running = await open({ files: {} });
    const [one, two] = [
      await config({ files: { strategy: "last" } }),
      await config({ files: { servers: servers("a") } }),
    ];
    const first = running.apply(one);
    const second = running.apply(two);
    expect(await first).toEqual({ ...none, replaced: ["files"] });
    expect(running.config).toBe(one);
    expect(await second).toEqual({ ...none, replaced: ["files"] });
    expect(running.config).toBe(two);
  });

  test("end when the pools are closed: the one under way is undone, the others are refused", async () => {
    const running = await open({ files: {} });
    parts.length = 0;
    let proceed = () => {};
    const gate = new Promise<void>((resolve) => (proceed = resolve));
    plugins.push(definePlugin({ kind: "policy", name: "slow", create: () => noted("slow", {}), start: () => gate }));
    const [slow, next] = [await config({ files: { policies: ["slow"] } }), await config({ files: {} })];
    const applying = [running.apply(slow), running.apply(next)];
    const ends = Promise.allSettled(applying);
    await flush();
    const closing = Promise.resolve(running[Symbol.asyncDispose]());
    expect(await standing(closing)).toBe("pending");
    proceed();
    await closing;
    for (const end of await ends) expect(end).toMatchObject({ status: "rejected", reason: { code: "POOL_CLOSED" } });
    await expect(running.apply(next)).rejects.toMatchObject({ code: "POOL_CLOSED" });
    expect(parts).toEqual(["made slow", "closed slow", "closed first", "closed store"]);
    expect(clock.pending).toBe(0);
  });
});

test("a pool that somebody has closed stays closed", async () => {
  await using running = await open({ files: {}, other: {} });
  const other = pool(running, "other");
  const applying = running.apply(await config({ files: { strategy: "last" }, other: { strategy: "last" } }));
  await Promise.all([applying, other[Symbol.asyncDispose]()]);
  await expect(other.execute(GET)).rejects.toMatchObject({ code: "POOL_CLOSED" });
  const changes = await running.apply(await config({ files: {}, other: { servers: servers("a") } }));
  expect(changes).toEqual({ ...none, replaced: ["files"] });
  await expect(other.broadcast(GET, { consume: () => Promise.resolve(1) })).rejects.toMatchObject({
    code: "POOL_CLOSED",
  });
});

test("two hundred changes leave nothing behind", async () => {
  await using running = await open({ files: {} });
  const configs = [await config({ files: { strategy: "last" } }), await config({ files: {} })];
  await flush();
  const pending = clock.pending;
  for (let change = 0; change < 200; change++) {
    await running.apply(configs[change % 2] as ResolvedConfig);
    await pool(running).execute(GET);
  }
  await advance(clock, 20);
  expect(clock.pending).toBe(pending);
  const count = (what: string) => parts.filter((part) => part.startsWith(what)).length;
  expect(count("made") - count("closed")).toBe(2);
  expect(transport.server("a").opened + transport.server("b").opened).toBe(200);
  expect(pool(running).stats().requestStats.total).toBe(200);
});
