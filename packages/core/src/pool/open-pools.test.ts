import { describe, expect, test } from "vitest";
import type { Log, LogFields } from "../contracts/log.ts";
import type { Selector } from "../contracts/selector.ts";
import { resolveConfig } from "../config/resolve-config.ts";
import { corePlugins } from "../plugin/core-plugins.ts";
import { StoreError } from "../errors/store-error.ts";
import { definePlugin, type AnyPlugin, type PluginContext } from "../plugin/define-plugin.ts";
import { CLOCK, ENVIRONMENT, LOG, POOL, SECURITY, TRANSPORT } from "../plugin/tokens.ts";
import { token } from "../plugin/scope.ts";
import {
  GET,
  ScriptedStore,
  advance,
  flush,
  recordingLog,
  scriptedPlugin,
} from "../testing/pool-bench.test-support.ts";
import { ScriptedTransport, refuse } from "../testing/scripted-transport.test-support.ts";
import { createManualClock } from "../time/manual-clock.ts";
import { CLOSE_LIMIT, START_LIMIT } from "./create-part.ts";
import { openPools, type OpenOptions, type Provider } from "./open-pools.ts";

const GREETING = token<{ readonly hello: string }>("test:greeting");

/** A configuration of two pools whose plugins note what happens to them. */
async function build(events: string[], extra: readonly AnyPlugin[] = [], config: object = {}) {
  const noted = <T extends object>(name: string, instance: T): T =>
    Object.assign(instance, { [Symbol.asyncDispose]: () => Promise.resolve(events.push(`close ${name}`)) });
  const start = (name: string) => () => Promise.resolve(void events.push(`start ${name}`));
  const plugins: AnyPlugin[] = [
    ...corePlugins,
    scriptedPlugin,
    definePlugin({
      kind: "service",
      name: "greeting",
      provides: GREETING,
      create: ({ pool }) => noted("service", { hello: `from "${pool}"` }),
      start: start("service"),
    }),
    definePlugin({
      kind: "selector",
      name: "round-robin",
      create: ({ pool, primary, services }) => {
        events.push(`selector of ${pool}, primary: ${primary}, hello ${services.get(GREETING).hello}`);
        return noted<Selector>(`selector ${pool}`, { select: ([first]) => first });
      },
      start: start("selector"),
    }),
    definePlugin({ kind: "store", name: "file", create: ({ pool }) => noted(`store ${pool}`, new ScriptedStore()) }),
    definePlugin({ kind: "policy", name: "audit", create: () => noted("policy", {}), start: start("policy") }),
    ...extra,
  ];
  const pool = { transport: "scripted", servers: [{ serverId: "a" }], health: { enabled: false } };
  return resolveConfig(
    { pools: { one: { ...pool, policies: ["audit"], ...config }, two: pool } },
    { baseDirectory: "/", plugins },
  );
}

describe("opening pools", () => {
  test("creates services first, then each pool's parts, and starts each before the next", async () => {
    const events: string[] = [];
    const open = await openPools(await build(events));
    expect(events).toEqual([
      "start service",
      'selector of one, primary: true, hello from ""',
      "start selector",
      "start policy",
      'selector of two, primary: false, hello from ""',
      "start selector",
    ]);
    const { serverId } = await (open.pools.get("one") as NonNullable<ReturnType<typeof open.pools.get>>).execute(GET);
    expect(serverId).toBe("a");
    expect(open.services.get(GREETING).hello).toBe('from ""');
    expect([open.services.has(POOL), open.services.has(TRANSPORT)]).toEqual([false, false]);
    events.length = 0;
    await open[Symbol.asyncDispose]();
    expect(events).toEqual([
      "close selector two",
      "close store two",
      "close policy",
      "close selector one",
      "close store one",
      "close service",
    ]);
  });

  test("provides what it was given, and the platform's where it was not", async () => {
    const clock = createManualClock();
    const { log } = recordingLog();
    const environment = { A: "b" };
    await using open = await openPools(await build([]), { clock, log, environment, random: () => 0 });
    const { services } = open;
    expect([services.get(CLOCK), services.get(LOG), services.get(ENVIRONMENT)]).toEqual([clock, log, environment]);
    expect(services.get(SECURITY).allowCleartext).toBe(false);
    await using plain = await openPools(await build([]));
    expect(plain.services.get(ENVIRONMENT)).toBe(process.env);
    plain.services.get(LOG).error("nobody hears this");
    plain.services.get(LOG).warn("nor this");
    plain.services.get(LOG).info("nor this");
    plain.services.get(LOG).debug("nor this");
  });

  test("closes what was open when a plugin does not start", async () => {
    const events: string[] = [];
    const broken = definePlugin({
      kind: "failover",
      name: "broken",
      create: () => ({ decide: () => ({ action: "settle" }) as const }),
      start: () => Promise.reject(new Error("no licence")),
    });
    const config = await build(events, [broken], { failover: "broken" });
    await expect(openPools(config)).rejects.toThrow("no licence");
    expect(events.filter((event) => event.startsWith("close"))).toEqual([
      "close selector one",
      "close store one",
      "close service",
    ]);
  });

  test("tells why it could not start, also when something cannot be closed then", async () => {
    const broken = definePlugin({
      kind: "failover",
      name: "broken",
      create: () => ({
        decide: () => ({ action: "settle" }) as const,
        [Symbol.dispose]() {
          throw new Error("cannot close");
        },
      }),
      start: () => Promise.reject(new Error("no licence")),
    });
    const { log, lines } = recordingLog();
    const config = await build([], [broken], { failover: "broken" });
    const provide = (services: Provider) => services.provide(token("test:stuck"), broken.create({} as never, {}));
    await expect(openPools(config, { log, provide })).rejects.toThrow("no licence");
    expect(lines).toEqual([
      {
        level: "error",
        message: expect.stringContaining(
          'The failover plugin "broken" of pool "one" could not be closed: cannot close',
        ) as string,
      },
      { level: "error", message: "Not everything could be closed after a failed start." },
    ]);
  });

  test("gives up when it is told to", async () => {
    const events: string[] = [];
    const options: OpenOptions = { signal: AbortSignal.abort(new Error("enough")) };
    await expect(openPools(await build(events), options)).rejects.toThrow("enough");
    expect(events).toEqual([]);
  });
});

describe("a plugin that does wrong", () => {
  const oops = (): never => {
    throw new Error("oh no");
  };
  const settle = { decide: () => ({ action: "settle" }) as const };
  const failing = (step: object) => definePlugin({ kind: "failover", name: "broken", create: () => settle, ...step });

  test.each<[string, object, string]>([
    ["throws in create", { create: oops }, "failed in create: oh no"],
    ["throws in start", { start: oops }, "failed in start: oh no"],
    ["rejects in start", { start: () => Promise.reject(new Error("oh no")) }, "failed in start: oh no"],
    [
      "throws what is no error",
      { start: () => Promise.reject(Object.create(null)) },
      "failed in start: [object Object]",
    ],
    [
      "creates something that is not what it should be",
      { create: () => ({ settle: true }) },
      "returned something without decide from create; a failover needs decide",
    ],
    ["creates nothing", { create: () => undefined }, "returned undefined from create"],
    ["creates something later", { create: () => Promise.reject(new Error("oh no")) }, "returned a promise from create"],
  ])("and %s is named with its kind and its pool", async (_what, step, words) => {
    const config = await build([], [failing(step)], { failover: "broken" });
    await expect(openPools(config)).rejects.toMatchObject({
      code: "PLUGIN_FAILED",
      message: expect.stringContaining(`The failover plugin "broken" of pool "one" ${words}`) as string,
      details: { kind: "failover", name: "broken", pool: "one" },
    });
  });

  test("on purpose keeps its own words", async () => {
    const start = () => Promise.reject(new StoreError("STORE_CORRUPT", "It is broken."));
    const config = await build([], [failing({ start })], { failover: "broken" });
    await expect(openPools(config)).rejects.toMatchObject({ code: "STORE_CORRUPT", message: "It is broken." });
  });

  test("as a service has no pool", async () => {
    const service = definePlugin({ kind: "service", name: "broken", provides: token("test:broken"), create: oops });
    await expect(openPools(await build([], [service]))).rejects.toThrow(
      'The service plugin "broken" failed in create: oh no',
    );
  });

  test("and asks for a service that nobody provides is named with the service", async () => {
    const create = ({ services }: PluginContext) => services.get(token<never>("me:greeter"));
    await expect(openPools(await build([], [failing({ create })], { failover: "broken" }))).rejects.toMatchObject({
      code: "SERVICE_MISSING",
      message:
        'The failover plugin "broken" of pool "one" asks for the service "me:greeter", and no plugin in "plugins" provides it. List the service plugin that does.',
      details: { service: "me:greeter", kind: "failover", name: "broken", pool: "one" },
    });
    const service = definePlugin({ kind: "service", name: "broken", provides: token("test:broken"), create });
    await expect(openPools(await build([], [service]))).rejects.toThrow(
      /before it is created; .* order of their names/,
    );
  });

  test("and never ends its start is waited for so long and no longer", async () => {
    const clock = createManualClock();
    let told: AbortSignal | undefined;
    const start = (_instance: unknown, signal: AbortSignal) => {
      told = signal;
      return new Promise<never>(() => undefined);
    };
    const config = await build([], [failing({ start })], { failover: "broken" });
    const opening = openPools(config, { clock });
    await flush();
    clock.advance(START_LIMIT);
    await expect(opening).rejects.toMatchObject({
      code: "PLUGIN_FAILED",
      message: expect.stringContaining(
        'The failover plugin "broken" of pool "one" did not start: its start had not ended after 30000 ms',
      ) as string,
    });
    expect(told?.aborted).toBe(true);
    expect(clock.pending).toBe(0);
  });

  test.each<[string, object, string]>([
    ["throws", { [Symbol.dispose]: oops }, "could not be closed: oh no"],
    [
      "never ends",
      { [Symbol.asyncDispose]: () => new Promise<never>(() => undefined) },
      "could not be closed: its disposal had not ended after 5000 ms",
    ],
  ])("and %s when it is closed is logged, and the others are closed", async (_what, disposal, words) => {
    const clock = createManualClock();
    const events: string[] = [];
    const { log, lines } = recordingLog();
    const create = () => ({ ...settle, ...disposal });
    const open = await openPools(await build(events, [failing({ create })], { failover: "broken" }), { clock, log });
    events.length = 0;
    const closing = open[Symbol.asyncDispose]();
    await advance(clock, 2 * CLOSE_LIMIT, 500);
    await closing;
    expect(lines).toEqual([
      {
        level: "error",
        message: expect.stringContaining(`The failover plugin "broken" of pool "one" ${words}`) as string,
      },
    ]);
    expect(events.slice(-3)).toEqual(["close selector one", "close store one", "close service"]);
    expect(clock.pending).toBe(0);
  });

  test("as a notifier is named, whether it throws or rejects", async () => {
    const { log, lines } = recordingLog();
    const notifier = (name: string, notify: () => unknown) =>
      definePlugin({ kind: "notifier", name, create: () => ({ notify }) });
    const plugins = [notifier("loud", oops), notifier("late", () => Promise.reject(new Error("oh no")))];
    const transport = new ScriptedTransport();
    const scripted = { ...scriptedPlugin, create: () => transport };
    const config = await build([], [...plugins, scripted], {
      notifiers: ["loud", "late"],
      servers: [{ serverId: "a" }, { serverId: "b" }],
    });
    await using open = await openPools(config, { log });
    transport.server("a").behaviour = refuse;
    await open.pools.get("one")?.execute(GET);
    await flush();
    for (const name of ["loud", "late"])
      expect(lines).toContainEqual({ level: "error", message: `The notifier "${name}" failed.` });
  });
});

test("whatever the parts of a pool write says which pool it is about", async () => {
  const written: [string, LogFields | undefined][] = [];
  const write = (message: string, fields?: LogFields) => void written.push([message, fields]);
  const log: Log = { debug: write, info: write, warn: write, error: write };
  const talking = definePlugin({
    kind: "policy",
    name: "talking",
    create: (context) => {
      context.log.info("created", { more: 1 });
      context.services.get(LOG).info("asked for");
      return {};
    },
  });
  const transport = new ScriptedTransport();
  const scripted = { ...scriptedPlugin, create: () => transport };
  const config = await build([], [talking, scripted], {
    policies: ["talking"],
    servers: [{ serverId: "a" }, { serverId: "b" }],
  });
  await using open = await openPools(config, { log });
  transport.server("a").behaviour = refuse;
  await open.pools.get("one")?.execute(GET);
  expect(written).toContainEqual(["created", { pool: "one", more: 1 }]);
  expect(written).toContainEqual(["asked for", { pool: "one" }]);
  expect(written.map(([message]) => message)).toContainEqual(expect.stringContaining("GET moved from a to b"));
  expect(written.map(([message]) => message)).toContainEqual(expect.stringContaining("Server a is degraded"));
  const moved = written.find(([message]) => message.includes("moved from"));
  expect(moved?.[1]).toMatchObject({ event: "Failover", from: "a", to: "b" });
  for (const [, fields] of written) expect(fields).toMatchObject({ pool: "one" });
});
