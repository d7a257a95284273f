import { describe, expect, test } from "vitest";
import { GET, PUT, openBench, type BenchOptions } from "../testing/pool-bench.test-support.ts";
import { answer, breakOff, hang, refuse } from "../testing/scripted-transport.test-support.ts";
import { Hedging } from "./hedging.ts";

const HEDGED: BenchOptions = { hedging: { percentile: 0.95, least: 100 } };

/** A pool that knows how long answers take: no time at all, so that hedges are sent after the least time. */
async function warm(options: BenchOptions = {}) {
  const bench = await openBench({ ...HEDGED, ...options });
  for (let count = 0; count < 32; count++) await bench.pool.execute(GET);
  for (const serverId of ["a", "b", "c"]) bench.server(serverId).sent.length = 0;
  return bench;
}

describe("a safe request that takes unusually long", () => {
  test("goes to a second server as well; the first answer counts and the other attempt is cancelled", async () => {
    const bench = await warm();
    bench.server("a").behaviour = hang;
    const call = bench.pool.execute(GET);
    await bench.advance(90);
    expect(bench.server("b").sent).toHaveLength(0);
    await bench.advance(30);
    const { serverId, attempts } = await call;
    expect(serverId).toBe("b");
    expect(attempts).toMatchObject([
      { serverId: "a", outcome: "unknown", failure: { kind: "cancelled", blame: "request" } },
      { serverId: "b", outcome: "answered" },
    ]);
    expect(bench.server("a").attempts.at(-1)?.signal.aborted).toBe(true);
    expect(bench.slots()).toBe(0);
    expect(bench.pool.stats().requestStats).toMatchObject({ failed: 0, failoverCount: 0 });
    expect(bench.pool.list()[0]?.health.status).toBe("healthy");
  });

  test("leaves nothing that is timed when it was answered in time", async () => {
    const bench = await warm({ hedging: { percentile: 0.95, least: 60_000 } });
    await bench.advance(50);
    const idle = bench.clock.pending;
    await bench.pool.execute(GET);
    await bench.advance(50);
    expect(bench.clock.pending).toBe(idle);
  });

  test("numbers the two attempts 1 and 2", async () => {
    const bench = await warm();
    bench.server("a").behaviour = hang;
    const call = bench.pool.execute(GET);
    await bench.advance(120);
    await call;
    expect(["a", "b"].map((id) => bench.server(id).attempts.at(-1)?.ordinal)).toEqual([1, 2]);
  });

  test("takes the first server's answer when that comes first after all", async () => {
    const bench = await warm();
    bench.server("a").behaviour = async (attempt, request) => {
      await new Promise<void>((resolve) => void bench.clock.after(200, resolve));
      return answer()(attempt, request);
    };
    bench.server("b").behaviour = hang;
    const call = bench.pool.execute(GET);
    await bench.advance(300, 10);
    expect(await call).toMatchObject({ serverId: "a", attempts: [{ serverId: "b" }, { serverId: "a" }] });
    expect(bench.slots()).toBe(0);
  });

  test("goes on with the first server when the second one fails", async () => {
    const bench = await warm();
    bench.server("a").behaviour = async (attempt, request) => {
      await new Promise<void>((resolve) => void bench.clock.after(200, resolve));
      return answer()(attempt, request);
    };
    bench.server("b").behaviour = refuse;
    const call = bench.pool.execute(GET);
    await bench.advance(300, 10);
    expect((await call).serverId).toBe("a");
    expect(bench.slots()).toBe(0);
  });

  test("moves on to a third server when both fail", async () => {
    const bench = await warm();
    bench.server("a").behaviour = async (attempt, request) => {
      await new Promise<void>((resolve) => void bench.clock.after(200, resolve));
      return breakOff(attempt, request);
    };
    bench.server("b").behaviour = refuse;
    const call = bench.pool.execute(GET);
    await bench.advance(300, 10);
    expect((await call).serverId).toBe("c");
    expect(bench.slots()).toBe(0);
  });

  test("is not sent twice while the budget is spent, nor when it names its server", async () => {
    const poor = await warm({ limits: { retryBudget: 0 } });
    poor.server("a").behaviour = hang;
    const call = poor.pool.execute(GET, { deadline: 1_000 });
    call.catch(() => undefined);
    await poor.advance(300, 10);
    expect(poor.server("b").sent).toHaveLength(0);

    const bench = await warm();
    bench.server("a").behaviour = hang;
    const pinned = bench.pool.execute(GET, { serverId: "a", deadline: 1_000 });
    pinned.catch(() => undefined);
    await bench.advance(300, 10);
    expect(bench.server("b").sent).toHaveLength(0);
  });
});

test("a request that changes something is never hedged", async () => {
  const bench = await warm();
  bench.server("a").behaviour = hang;
  const call = bench.pool.execute(PUT, { deadline: 1_000 });
  call.catch(() => undefined);
  await bench.advance(200, 10);
  expect(bench.server("b").sent).toHaveLength(0);
});

test("the time to wait is the percentile of the latest answers, and at least what is configured", () => {
  const hedging = new Hedging({ percentile: 0.9, least: 5 });
  for (let latency = 1; latency < 32; latency++) hedging.answered(latency);
  expect(hedging.after).toBeUndefined();
  hedging.answered(32);
  expect(hedging.after).toBe(29);
  for (let count = 0; count < 256; count++) hedging.answered(1);
  expect(hedging.after).toBe(5);
});
