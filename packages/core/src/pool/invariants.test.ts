import { setImmediate as nextTurn } from "node:timers/promises";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { sleep } from "../time/sleep.ts";
import { GET, POST, PUT, flush, openBench } from "../testing/pool-bench.test-support.ts";
import {
  answer,
  breakOff,
  hang,
  hangUnsent,
  ignoreEverything,
  refuse,
  ScriptedError,
  type Behaviour,
  type ScriptedRequest,
  type ScriptedResponse,
} from "../testing/scripted-transport.test-support.ts";

const behaviours: Record<string, Behaviour> = {
  fine: answer(),
  refuse,
  break: breakOff,
  hang,
  "hang unsent": hangUnsent,
  "ignore everything": ignoreEverything,
  500: answer(500),
  503: answer(503),
  "503 later": answer(503, { retryAfter: 300 }),
};

const requests: ScriptedRequest[] = [GET, PUT, POST, { operation: "PUT", repeat: "idempotent", replayable: false }];

const schedule = fc.record({
  servers: fc.array(
    fc.record({
      maxConnections: fc.integer({ min: 1, max: 3 }),
      priority: fc.integer({ min: 1, max: 2 }),
      timeout: fc.integer({ min: 20, max: 900 }),
      retryAttempts: fc.integer({ min: 0, max: 5 }),
      script: fc.array(fc.constantFrom(...Object.keys(behaviours)), { minLength: 1, maxLength: 6 }),
      checks: fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  calls: fc.array(
    fc.record({
      at: fc.integer({ min: 0, max: 400 }),
      request: fc.integer({ min: 0, max: requests.length - 1 }),
      deadline: fc.integer({ min: 20, max: 1_500 }),
      cancelAfter: fc.option(fc.integer({ min: 0, max: 500 }), { freq: 5 }),
      pinned: fc.option(fc.nat(), { freq: 4 }),
      read: fc.option(fc.record({ takes: fc.integer({ min: 0, max: 300 }), breaks: fc.boolean() })),
    }),
    { minLength: 1, maxLength: 12 },
  ),
  queue: fc.constantFrom(false as const, { size: 3, timeout: 200 }, { size: 100, timeout: 5_000 }),
  retryBudget: fc.constantFrom(0, 0.2, 1),
  health: fc.record({
    enabled: fc.boolean(),
    failures: fc.integer({ min: 1, max: 3 }),
    successes: fc.integer({ min: 1, max: 2 }),
    recoveryInterval: fc.constant(50),
    ejection: fc.constant(60),
    slowStart: fc.constantFrom(0, 100),
  }),
  hedged: fc.boolean(),
  /** A failover policy that would repeat everything for ever. */
  reckless: fc.boolean(),
  seed: fc.double({ min: 0, max: 0.999, noNaN: true }),
});

/** Safe requests after which the pool knows how long an answer usually takes. */
const ENOUGH = 32;

test("whatever the servers do, every call is settled in time and leaves nothing behind", async () => {
  await fc.assert(
    fc.asyncProperty(schedule, async ({ servers, calls, queue, retryBudget, health, hedged, reckless, seed }) => {
      let charged = 0;
      let turn = 0;
      const bench = await openBench({
        servers: servers.map(({ script: _script, checks: _checks, ...profile }, index) => ({
          serverId: `s${index}`,
          ...profile,
        })),
        limits: { queue, retryBudget },
        health,
        ...(reckless && { failover: { decide: () => ({ action: "retry", on: "other", delay: 0, charge: true }) } }),
        ...(hedged && { hedging: { percentile: 0.9, least: 15 } }),
        random: () => (seed + turn++ * 0.618) % 1,
        selector: { select: (candidates) => candidates[turn++ % candidates.length] ?? candidates[0] },
      });
      if (hedged) for (let count = 0; count < ENOUGH; count++) await bench.pool.execute(GET);
      servers.forEach(({ script, checks }, index) => {
        const server = bench.server(`s${index}`);
        let [next, checked] = [0, 0];
        server.behaviour = (attempt, request) =>
          (behaviours[script[next++ % script.length] ?? ""] as Behaviour)(attempt, request);
        server.probe = () =>
          checks[checked++ % checks.length] ? Promise.resolve() : Promise.reject(new Error("not well"));
      });
      // What goes wrong in a listener is logged and nothing else, so it is looked at in the end.
      const violations: string[] = [];
      const healthy = () => bench.pool.list().filter((server) => server.health.status !== "unhealthy").length;
      bench.pool.on("server-ejected", ({ serverId }) => {
        if (healthy() === 0) violations.push(`${serverId}, the last usable server, was ejected`);
      });

      const settled: { readonly took: number; readonly deadline: number }[] = [];
      let successes = hedged ? ENOUGH : 0;
      const made: ScriptedRequest[] = [];
      for (const { at, request, deadline, cancelAfter, pinned, read } of calls) {
        bench.clock.after(at, () => {
          const caller = new AbortController();
          if (cancelAfter !== null) bench.clock.after(cancelAfter, () => caller.abort());
          const start = bench.clock.now();
          // An object of its own, so that sendings can be told apart.
          const own = { ...(requests[request] as ScriptedRequest) };
          made.push(own);
          const note = (attempts: readonly { readonly failure?: unknown }[]) => {
            settled.push({ took: bench.clock.now() - start, deadline });
            charged += Math.max(0, attempts.length - 2);
          };
          const consume = async (response: ScriptedResponse): Promise<ScriptedResponse> => {
            if (read) await sleep(bench.clock, read.takes);
            if (read?.breaks) throw new ScriptedError({ kind: "broken", blame: "server", message: "broke off" });
            return response;
          };
          bench.pool
            .execute(own, {
              deadline,
              signal: caller.signal,
              consume,
              ...(pinned !== null && { serverId: `s${pinned % servers.length}` }),
            })
            .then(
              ({ value, serverId, attempts }) => {
                if (value.serverId !== serverId) violations.push(`${value.serverId} answered, not ${serverId}`);
                if (value.status === 200) successes++;
                note(attempts);
              },
              (error: { attempts?: readonly object[] }) => note(error.attempts ?? []),
            );
        });
      }
      for (let ms = 0; ms < 2_000; ms++) {
        bench.clock.advance(1);
        await flush();
        // Answers that count also when they are late are left a turn of the event loop.
        if (settled.length < made.length) await nextTurn();
      }

      expect(violations).toEqual([]);
      expect(settled).toHaveLength(calls.length);
      for (const { took, deadline } of settled) expect(took).toBeLessThanOrEqual(deadline);
      expect(bench.slots()).toBe(0);
      // A bucket of thirty, and what the calls put in; at most two attempts of a call can be free.
      const total = calls.length + (hedged ? ENOUGH : 0);
      expect(charged).toBeLessThanOrEqual(retryBudget === 0 ? 0 : 30 + retryBudget * total);
      for (const request of made) {
        if (request.repeat !== "neither" && request.replayable !== false) continue;
        const times = [...bench.transport.servers.values()].flatMap((server) => server.sent);
        expect(times.filter((sent) => sent === request).length).toBeLessThanOrEqual(1);
      }
      for (const server of bench.transport.servers.values()) expect(server.mostTrials).toBeLessThanOrEqual(1);
      const { requestStats } = bench.pool.stats();
      expect(requestStats).toMatchObject({ total, successful: successes });
      expect(requestStats.successful + requestStats.failed).toBe(requestStats.total);
      expect(requestStats.failoverCount).toBeLessThanOrEqual(requestStats.total);

      await bench.pool.close();
      for (const server of bench.transport.servers.values()) expect(server.closed).toBe(server.opened);
      await bench.advance(20);
    }),
    { numRuns: 2_000 },
  );
});
