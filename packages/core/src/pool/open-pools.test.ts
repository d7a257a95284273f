import { describe, expect, test } from "vitest";
import type { Selector } from "../contracts/selector.ts";
import { resolveConfig } from "../config/resolve-config.ts";
import { corePlugins } from "../plugin/core-plugins.ts";
import { definePlugin, type AnyPlugin } from "../plugin/define-plugin.ts";
import { CLOCK, ENVIRONMENT, LOG, POOL, SECURITY, TRANSPORT } from "../plugin/tokens.ts";
import { token } from "../plugin/scope.ts";
import { GET, ScriptedStore, recordingLog, scriptedPlugin } from "../testing/pool-bench.test-support.ts";
import { createManualClock } from "../time/manual-clock.ts";
import { openPools, type OpenOptions } from "./open-pools.ts";

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
    await expect(openPools(config, { log })).rejects.toThrow("no licence");
    expect(lines).toContainEqual({ level: "error", message: "Not everything could be closed after a failed start." });
  });

  test("gives up when it is told to", async () => {
    const events: string[] = [];
    const options: OpenOptions = { signal: AbortSignal.abort(new Error("enough")) };
    await expect(openPools(await build(events), options)).rejects.toThrow("enough");
    expect(events).toEqual([]);
  });
});
