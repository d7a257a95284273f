import { describe, expect, test } from "vitest";
import { GET, POST, openBench, standing } from "../testing/pool-bench.test-support.ts";
import { aborted, answer, hang, type Behaviour } from "../testing/scripted-transport.test-support.ts";

/** Waits for the caller, once for each of these times on the clock, and answers when it is told to. */
function asking(after: () => Promise<void>, waits: Disposable[], times = 1): Behaviour {
  return async (attempt, request) => {
    attempt.sent();
    for (let count = 0; count < times; count++) {
      const wait = attempt.wait?.();
      if (wait) waits.push(wait);
    }
    await Promise.race([after(), aborted(attempt.signal)]);
    return answer()(attempt, request);
  };
}

const server = { serverId: "a", timeout: 1_000 };

describe("an attempt whose server waits for the caller", () => {
  test("has as much time left afterwards as before", async () => {
    const bench = await openBench({ servers: [server], deadline: 60_000 });
    const waits: Disposable[] = [];
    bench.server("a").behaviour = asking(() => new Promise(() => {}), waits);
    const call = bench.pool.execute(POST);
    call.catch(() => {});
    await bench.advance(30_000, 100);
    expect(await standing(call)).toBe("pending");
    waits[0]?.[Symbol.dispose]();
    waits[0]?.[Symbol.dispose]();
    await bench.advance(980, 10);
    expect(await standing(call)).toBe("pending");
    await bench.advance(40, 10);
    await expect(call).rejects.toThrow(/no complete answer within \d+ ms/);
    await expect(call).rejects.toMatchObject({ attempts: [{ latency: expect.closeTo(1_010, -2) as number }] });
  });

  test("answers after a long time as if no time had passed", async () => {
    const bench = await openBench({ servers: [server], deadline: 60_000 });
    const waits: Disposable[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    bench.server("a").behaviour = asking(() => promise, waits);
    const call = bench.pool.execute(POST);
    await bench.advance(30_000, 100);
    waits[0]?.[Symbol.dispose]();
    resolve();
    const { attempts } = await call;
    expect(attempts).toMatchObject([{ outcome: "answered", latency: 0 }]);
  });

  test("waits until the last of several questions is answered", async () => {
    const bench = await openBench({ servers: [server], deadline: 60_000 });
    const waits: Disposable[] = [];
    bench.server("a").behaviour = asking(() => new Promise(() => {}), waits, 2);
    const call = bench.pool.execute(POST);
    call.catch(() => {});
    await bench.advance(5_000, 100);
    waits[0]?.[Symbol.dispose]();
    await bench.advance(5_000, 100);
    expect(await standing(call)).toBe("pending");
    waits[1]?.[Symbol.dispose]();
    await bench.advance(1_100, 10);
    expect(await standing(call)).toBe("rejected");
  });

  test("ends with the call's deadline", async () => {
    const bench = await openBench({ servers: [server], deadline: 5_000 });
    bench.server("a").behaviour = asking(() => new Promise(() => {}), []);
    const call = bench.pool.execute(POST);
    call.catch(() => {});
    await bench.advance(5_100, 10);
    await expect(call).rejects.toThrow(/may have been carried out|deadline/);
  });

  test("takes no progress for time, and what is sent meanwhile does not end it", async () => {
    const bench = await openBench({ servers: [server], deadline: 60_000 });
    bench.server("a").behaviour = (attempt) => {
      attempt.wait?.();
      attempt.sent();
      attempt.progress(1_000);
      return aborted(attempt.signal);
    };
    const call = bench.pool.execute(POST);
    call.catch(() => {});
    await bench.advance(30_000, 100);
    expect(await standing(call)).toBe("pending");
    const closed = bench.pool.close({ drain: 0 });
    await bench.advance(10);
    await closed;
  });

  test("is not hedged", async () => {
    const bench = await openBench({ hedging: { percentile: 0.95, least: 100 }, deadline: 60_000 });
    for (let count = 0; count < 32; count++) await bench.pool.execute(GET);
    for (const serverId of ["a", "b"]) bench.server(serverId).sent.length = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    bench.server("a").behaviour = asking(() => promise, []);
    bench.server("b").behaviour = hang;
    const call = bench.pool.execute(GET);
    await bench.advance(5_000, 100);
    expect(bench.server("b").sent).toEqual([]);
    resolve();
    expect((await call).serverId).toBe("a");
  });
});
