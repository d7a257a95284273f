import { describe, expect, test } from "vitest";
import { GET, POST, flush, openBench } from "../testing/pool-bench.test-support.ts";
import { aborted, answer, refuse, type Behaviour } from "../testing/scripted-transport.test-support.ts";
import { RetryBudget } from "./retry-budget.ts";

const as = (principal: string) => ({ caller: { principal } });
/** Mallory's requests take for ever; everybody else's are answered at once. */
const slowForMallory: Behaviour = (attempt, request) => {
  if (attempt.caller.principal !== "mallory") return answer()(attempt, request);
  attempt.sent();
  return aborted(attempt.signal);
};
const swallow = <T>(promise: Promise<T>) => promise.catch((error: { code: string }) => error.code);

describe("one principal", () => {
  test("cannot take the slots that others need", async () => {
    const bench = await openBench({ servers: ["a", "b", "c"].map((serverId) => ({ serverId, maxConnections: 10 })) });
    for (const id of ["a", "b", "c"]) bench.server(id).behaviour = slowForMallory;
    const caller = new AbortController();
    const options = { ...as("mallory"), signal: caller.signal };
    const slow = Array.from({ length: 60 }, () => swallow(bench.pool.execute(GET, options)));
    await flush();
    expect(bench.slots()).toBe(24);
    expect((await bench.pool.execute(GET, as("alice"))).value.status).toBe(200);
    expect((await bench.pool.execute(GET, { ...as("alice"), serverId: "c" })).value.status).toBe(200);
    caller.abort();
    await Promise.all(slow);
  });

  test("has the only slot of a server that has but one", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", maxConnections: 1 }] });
    expect((await bench.pool.execute(GET, as("mallory"))).value.status).toBe(200);
  });

  test("cannot fill the queue", async () => {
    const bench = await openBench({
      servers: [{ serverId: "a", maxConnections: 1 }],
      limits: { queue: { size: 8, timeout: 60_000 } },
    });
    bench.server("a").behaviour = slowForMallory;
    const caller = new AbortController();
    const options = { ...as("mallory"), signal: caller.signal };
    const slow = Array.from({ length: 20 }, () => swallow(bench.pool.execute(GET, options)));
    await flush();
    const patient = bench.pool.execute(GET, as("alice"));
    await flush();
    caller.abort();
    const codes = await Promise.all(slow);
    expect(codes.filter((code) => code === "POOL_EXHAUSTED")).toHaveLength(13);
    expect((await patient).value.status).toBe(200);
  });

  test("waits for its turn when others are in the queue as well", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", maxConnections: 1 }] });
    const releases: (() => void)[] = [];
    const order: (string | undefined)[] = [];
    bench.server("a").behaviour = async (attempt, request) => {
      order.push(attempt.caller.principal);
      await new Promise<void>((resolve) => releases.push(resolve));
      return answer()(attempt, request);
    };
    const callers = ["mallory", "mallory", "mallory", "mallory", "alice", "alice", "bob"];
    const calls = callers.map((who) => bench.pool.execute(GET, as(who)));
    for (let count = 0; count < callers.length; count++) {
      await flush();
      releases[count]?.();
    }
    await Promise.all(calls);
    expect(order).toEqual(["mallory", "mallory", "alice", "bob", "mallory", "alice", "mallory"]);
  });

  test("cannot use up the retries of all", () => {
    const budget = new RetryBudget(0.2);
    const spend = (principal: string) => {
      let count = 0;
      while (count < 100 && budget.withdraw(principal)) count++;
      return count;
    };
    expect([spend("mallory"), spend("alice")]).toEqual([23, 7]);
    for (let call = 0; call < 6; call++) budget.deposit("mallory");
    expect(spend("mallory")).toBe(1);
    for (let call = 0; call < 1_000; call++) budget.deposit("alice");
    expect(spend("mallory")).toBe(23);
  });

  test("that names a dead server leaves the retries of the pool to others", async () => {
    const bench = await openBench({ servers: ["a", "b", "c"], deadline: 60_000 });
    bench.server("a").behaviour = refuse;
    const pinned = Array.from({ length: 40 }, () => swallow(bench.pool.execute(GET, { serverId: "a" })));
    await bench.advance(20_000, 50);
    await Promise.all(pinned);
    bench.server("a").behaviour = answer(503);
    bench.server("b").behaviour = answer(503);
    bench.server("c").behaviour = answer();
    const { attempts, serverId } = await bench.pool.execute({ ...GET, resource: "x" });
    expect([serverId, attempts.length]).toEqual(["c", 2]);
  });
});

describe("an attempt that waits for its caller", () => {
  const waits: Disposable[] = [];
  const asking: Behaviour = async (attempt, request) => {
    attempt.sent();
    const wait = attempt.wait?.();
    if (wait) waits.push(wait);
    await aborted(attempt.signal).catch((error: unknown) => {
      if (request.operation === "POST") throw error;
    });
    return answer()(attempt, request);
  };

  test("holds no slot, so that any number of people may take their time", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", maxConnections: 2 }], deadline: 60_000 });
    bench.server("a").behaviour = asking;
    const caller = new AbortController();
    const suspended = Array.from({ length: 12 }, () =>
      swallow(bench.pool.execute(POST, { ...as("person"), signal: caller.signal })),
    );
    await flush();
    expect([bench.server("a").asked, bench.slots()]).toEqual([12, 0]);
    bench.server("a").behaviour = answer();
    expect((await bench.pool.execute(GET)).value.status).toBe(200);
    caller.abort();
    await Promise.all(suspended);
    expect(bench.slots()).toBe(0);
  });

  test("gives its slot to whoever waits for one, and takes one again when it goes on", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", maxConnections: 1 }], deadline: 60_000 });
    let wait: Disposable | undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    const { promise: started, resolve: ask } = Promise.withResolvers<void>();
    bench.server("a").behaviour = async (attempt, request) => {
      attempt.sent();
      await started;
      wait = attempt.wait?.();
      await promise;
      return answer()(attempt, request);
    };
    const first = bench.pool.execute(POST);
    await flush();
    bench.server("a").behaviour = answer();
    const second = bench.pool.execute(GET);
    await flush();
    expect(bench.server("a").asked).toBe(1);
    ask();
    expect((await second).value.status).toBe(200);
    wait?.[Symbol.dispose]();
    expect(bench.slots()).toBe(1);
    resolve();
    expect((await first).value.status).toBe(200);
    expect(bench.slots()).toBe(0);
  });

  test("keeps its server's connection open while the server leaves the pool", async () => {
    const bench = await openBench({ servers: ["a", "b"], deadline: 60_000 });
    await bench.pool.add({ serverId: "x" });
    let wait: Disposable | undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    bench.server("x").behaviour = async (attempt, request) => {
      attempt.sent();
      wait = attempt.wait?.();
      await promise;
      return answer()(attempt, request);
    };
    const call = bench.pool.execute(POST, { serverId: "x" });
    await flush();
    await bench.pool.remove("x");
    await flush();
    expect(bench.server("x").closed).toBe(0);
    wait?.[Symbol.dispose]();
    resolve();
    expect((await call).value.status).toBe(200);
    await flush();
    expect(bench.server("x").closed).toBe(1);
  });
});
