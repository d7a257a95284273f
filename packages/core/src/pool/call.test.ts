import { describe, expect, test } from "vitest";
import type { FailoverPolicy } from "../contracts/failover-policy.ts";
import type { Policy } from "../contracts/policy.ts";
import { SecretError } from "../errors/config-errors.ts";
import { GET, POST, PUT, flush, openBench, standing, type BenchOptions } from "../testing/pool-bench.test-support.ts";
import {
  ScriptedError,
  answer,
  breakOff,
  hang,
  hangUnsent,
  ignoreEverything,
  invalid,
  refuse,
  sequence,
  stream,
  type FlowingBody,
  type ScriptedWire,
} from "../testing/scripted-transport.test-support.ts";

async function failure(
  promise: Promise<unknown>,
): Promise<{ code: string; message: string; [field: string]: unknown }> {
  return promise.then(
    () => {
      throw new Error("it should have failed");
    },
    (error: unknown) => error as { code: string; message: string },
  );
}

const policy = (value: Policy<ScriptedWire>) => value;

describe("an answer", () => {
  test("names its server and every attempt with its latency", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    bench.server("a").behaviour = (attempt) => {
      attempt.sent();
      bench.clock.advance(7);
      return Promise.reject(new ScriptedError({ kind: "broken", blame: "server", message: "reset" }));
    };
    const { value, serverId, attempts } = await bench.pool.execute(GET);
    expect(value.status).toBe(200);
    expect(serverId).toBe("b");
    expect(attempts).toMatchObject([
      { serverId: "a", outcome: "unknown", latency: 7, failure: { kind: "broken" } },
      { serverId: "b", outcome: "answered", latency: 0 },
    ]);
    expect(bench.pool.stats().requestStats).toEqual({ total: 1, successful: 1, failed: 0, failoverCount: 1 });
    expect(bench.events).toMatchObject([
      { event: "server-degraded", detail: { serverId: "a", previous: "healthy", reason: "reset" } },
      { event: "failover", detail: { from: "a", to: "b", operation: "GET", failure: { kind: "broken" } } },
    ]);
  });

  test("that is a settled 503 counts as a failed call and is handed over", async () => {
    const bench = await openBench({ servers: ["a"] });
    bench.server("a").behaviour = answer(503, { retryAfter: 50 });
    const { value, attempts } = await bench.pool.execute(POST);
    expect(value).toMatchObject({ status: 503, discarded: 0 });
    expect(attempts).toMatchObject([{ outcome: "answered", failure: { kind: "overload", retryAfter: 50 } }]);
    expect(bench.pool.stats().requestStats).toEqual({ total: 1, successful: 0, failed: 1, failoverCount: 0 });
    expect(bench.pool.list()[0]).toMatchObject({ attempts: { total: 1, failed: 1 } });
  });

  test("of a server that failed over is discarded", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    bench.server("a").behaviour = answer(503);
    await bench.pool.execute(GET);
    expect(bench.server("a").responses[0]?.discarded).toBe(1);
    expect(bench.server("b").responses[0]?.discarded).toBe(0);
  });
});

describe("a call that fails", () => {
  test("for want of a server lists every one and what is wrong with it", async () => {
    const bench = await openBench({ servers: ["a", "b", { serverId: "c", enabled: false }] });
    bench.server("a").behaviour = refuse;
    bench.server("b").behaviour = breakOff;
    const call = failure(bench.pool.execute(GET));
    await bench.advance(2_000);
    const error = await call;
    expect(error.code).toBe("NO_SERVER_AVAILABLE");
    expect(error.servers).toEqual([
      { serverId: "a", status: "degraded", problem: "connection refused" },
      { serverId: "b", status: "degraded", problem: "connection reset" },
      { serverId: "c", status: "disabled" },
    ]);
    expect(error.message).toContain("a: degraded (connection refused); b: degraded (connection reset); c: disabled.");
  });

  test("in a pool without servers says so", async () => {
    const bench = await openBench({ servers: [] });
    const error = await failure(bench.pool.execute(GET));
    expect(error.message).toBe('Pool "files" has no servers. Declare one in the configuration or add one.');
    expect(bench.pool.stats().requestStats).toMatchObject({ total: 1, failed: 1 });
  });

  test("because of its deadline says what was tried", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    bench.server("a").behaviour = hang;
    bench.server("b").behaviour = hang;
    const call = failure(bench.pool.execute(GET, { deadline: 1_000 }));
    await bench.advance(1_000);
    const error = await call;
    expect(error.code).toBe("DEADLINE_EXCEEDED");
    expect(error.message).toMatch(/^GET did not finish within 1000 ms \(a: no complete answer within \d+ ms; b: no/);
    expect(bench.clock.now()).toBe(1_000);
  });

  test("with a deadline that has passed sends nothing", async () => {
    const bench = await openBench();
    expect((await failure(bench.pool.execute(GET, { deadline: 0 }))).code).toBe("DEADLINE_EXCEEDED");
    expect(bench.sent()).toBe("a:0 b:0 c:0");
  });

  test("for want of credentials gives the error that names the secret's place", async () => {
    const credentials = {
      credentials: () => Promise.reject(new SecretError("environment variable X", "it is not set")),
    };
    const bench = await openBench({ servers: [{ serverId: "a", retryAttempts: 0 }], credentials });
    const error = await failure(bench.pool.execute(GET));
    expect(error).toMatchObject({
      code: "SECRET_UNREADABLE",
      message: "The secret from environment variable X cannot be read: it is not set.",
    });
    expect(bench.pool.list()[0]?.health.status).toBe("healthy");
  });

  test("because the request could not be formed gives the error as it is, and is no call", async () => {
    const bench = await openBench();
    bench.server("a").behaviour = invalid;
    expect((await failure(bench.pool.execute(GET))).message).toBe("no such path");
    expect(bench.pool.stats().requestStats.total).toBe(0);
    expect(bench.slots()).toBe(0);
  });

  test("that names a server nobody knows lists those there are", async () => {
    const bench = await openBench();
    expect(await failure(bench.pool.execute(GET, { serverId: "x" }))).toMatchObject({
      code: "UNKNOWN_SERVER",
      details: { serverIds: ["a", "b", "c"] },
    });
    expect(bench.pool.stats().requestStats.total).toBe(0);
  });

  test("that names a disabled server is told so", async () => {
    const bench = await openBench({ servers: ["a", { serverId: "b", enabled: false }] });
    expect((await failure(bench.pool.execute(GET, { serverId: "b" }))).code).toBe("SERVER_DISABLED");
  });
});

describe("cancellation", () => {
  test("before anything was sent", async () => {
    const bench = await openBench();
    const error = await failure(bench.pool.execute(GET, { signal: AbortSignal.abort("bye") }));
    expect(error).toMatchObject({ code: "CANCELLED", cause: "bye" });
    expect(bench.sent()).toBe("a:0 b:0 c:0");
  });

  test.each([GET, POST])("while $operation is on its way ends the attempt and blames nobody", async (request) => {
    const bench = await openBench();
    bench.server("a").behaviour = hang;
    const caller = new AbortController();
    const call = failure(bench.pool.execute(request, { signal: caller.signal }));
    await flush();
    caller.abort("bye");
    expect(await call).toMatchObject({ code: "CANCELLED", cause: "bye" });
    expect(bench.server("a").attempts[0]?.signal.reason).toBe("bye");
    expect(bench.slots()).toBe(0);
    expect(bench.pool.list()[0]?.health).toMatchObject({ status: "healthy", consecutiveFailures: 0 });
    expect(bench.pool.stats().requestStats).toMatchObject({ total: 1, failed: 1 });
  });

  test("while a connection opens", async () => {
    const bench = await openBench({ servers: ["a"] });
    bench.server("a").connect = () => new Promise(() => undefined);
    const caller = new AbortController();
    const call = failure(bench.pool.execute(GET, { signal: caller.signal }));
    await flush();
    caller.abort();
    expect((await call).code).toBe("CANCELLED");
    expect(bench.slots()).toBe(0);
  });

  test("while the call is queued", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", maxConnections: 1 }] });
    bench.server("a").behaviour = hang;
    const first = failure(bench.pool.execute(GET));
    const caller = new AbortController();
    const queued = failure(bench.pool.execute(GET, { signal: caller.signal }));
    await flush();
    caller.abort("bye");
    expect(await queued).toMatchObject({ code: "CANCELLED", cause: "bye" });
    await bench.advance(10_000);
    await first;
    expect(bench.server("a").asked).toBe(1);
    expect(bench.slots()).toBe(0);
  });

  test("while the call pauses before it asks again", async () => {
    const bench = await openBench({ servers: ["a"] });
    bench.server("a").behaviour = refuse;
    const caller = new AbortController();
    const call = failure(bench.pool.execute(GET, { signal: caller.signal }));
    await flush();
    expect(bench.server("a").asked).toBe(1);
    caller.abort("bye");
    expect((await call).code).toBe("CANCELLED");
    await bench.advance(1_000);
    expect(bench.server("a").asked).toBe(1);
  });

  test("while a policy thinks", async () => {
    const bench = await openBench({ policies: [policy({ before: () => new Promise(() => undefined) })] });
    const caller = new AbortController();
    const call = failure(bench.pool.execute(GET, { signal: caller.signal }));
    await flush();
    caller.abort();
    expect((await call).code).toBe("CANCELLED");
  });

  test("of a body that the caller still reads stops the body", async () => {
    const bench = await openBench({ servers: ["a"] });
    const bodies: FlowingBody[] = [];
    bench.server("a").behaviour = stream(bodies);
    const caller = new AbortController();
    await bench.pool.execute(GET, { signal: caller.signal });
    expect(bench.slots()).toBe(1);
    caller.abort("bye");
    expect(bodies[0]?.attempt.signal.aborted).toBe(true);
    expect(bench.slots()).toBe(0);
    expect(bench.pool.list()[0]?.health.status).toBe("healthy");
  });

  test("leaves no listener behind", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    const caller = new AbortController();
    let listeners = 0;
    const { signal } = caller;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--;
      remove(...args);
    };
    bench.server("a").behaviour = sequence(refuse, answer());
    await bench.pool.execute(GET, { signal });
    await bench.pool.execute(GET, { signal });
    expect(listeners).toBe(0);
  });
});

describe("time", () => {
  test("an attempt takes the server's timeout at most", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", timeout: 200 }, "b"] });
    bench.server("a").behaviour = hang;
    const call = bench.pool.execute(GET);
    await bench.advance(220);
    expect(await call).toMatchObject({ serverId: "b", attempts: [{ failure: { kind: "timeout" } }, {}] });
  });

  test("an attempt leaves the other servers their share of the deadline", async () => {
    const bench = await openBench({ servers: ["a", "b", "c"], deadline: 3_000 });
    bench.server("a").behaviour = hang;
    bench.server("b").behaviour = hang;
    const call = bench.pool.execute(GET);
    await bench.advance(2_100);
    const { serverId, attempts } = await call;
    expect(serverId).toBe("c");
    expect(attempts[0]?.latency).toBeGreaterThanOrEqual(990);
    expect(attempts[0]?.latency).toBeLessThanOrEqual(1_010);
  });

  test("what must not be repeated has all the time once it was sent", async () => {
    const bench = await openBench({ servers: ["a", "b", "c"], deadline: 3_000 });
    bench.server("a").behaviour = hang;
    const call = failure(bench.pool.execute(POST));
    await bench.advance(2_900);
    expect(await standing(call)).toBe("pending");
    await bench.advance(100);
    expect((await call).code).toBe("OUTCOME_UNKNOWN");
  });

  test.each([
    ["a transport that ignores its signal", ignoreEverything],
    ["an answer that comes after its time", hangUnsent],
  ])("%s does not hold up the call", async (_what, behaviour) => {
    const bench = await openBench({ servers: ["a", "b"], deadline: 1_000 });
    bench.server("a").behaviour = behaviour;
    const call = bench.pool.execute(GET);
    await bench.advance(600);
    expect((await call).serverId).toBe("b");
    expect(bench.slots()).toBe(0);
  });

  test("a response that arrives after its attempt ended is discarded", async () => {
    const bench = await openBench({ servers: ["a"], deadline: 500 });
    let respond: (() => void) | undefined;
    const response = { status: 200, serverId: "a", discarded: 0 };
    bench.server("a").behaviour = (attempt) => {
      attempt.sent();
      return new Promise((resolve) => (respond = () => resolve(response)));
    };
    const call = failure(bench.pool.execute(GET));
    await bench.advance(500);
    expect((await call).code).toBe("DEADLINE_EXCEEDED");
    respond?.();
    await flush();
    expect(response.discarded).toBe(1);
  });

  test("a connection that never opens costs one attempt, not the call", async () => {
    const bench = await openBench({ servers: ["a", "b"], deadline: 1_000 });
    bench.server("a").connect = () => new Promise(() => undefined);
    const call = bench.pool.execute(POST);
    await bench.advance(600);
    expect(await call).toMatchObject({
      serverId: "b",
      attempts: [
        { outcome: "failed", failure: { kind: "unsent", message: expect.stringContaining("no connection") } },
        {},
      ],
    });
  });

  test.each([
    ["before", { policies: [policy({ before: () => new Promise(() => undefined) })] }],
    ["the owner of a lock", { affinity: { get: () => new Promise<never>(() => undefined), set() {}, delete() {} } }],
  ] satisfies [string, BenchOptions][])("asking for %s has no longer than the deadline", async (_what, options) => {
    const bench = await openBench({ ...options, deadline: 300 });
    const call = failure(bench.pool.execute({ ...GET, boundTo: ["lock"] }));
    await bench.advance(300);
    expect((await call).code).toBe("DEADLINE_EXCEEDED");
  });

  test("a transfer that makes progress outlives the attempt's timeout", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", timeout: 100 }], limits: { minimumRate: 1_000 } });
    let moved = 0;
    bench.server("a").behaviour = async (attempt, request) => {
      attempt.sent();
      const tick = () => {
        attempt.progress(50);
        moved += 50;
        if (moved < 1_000) bench.clock.after(50, tick);
      };
      tick();
      await new Promise<void>((resolve) => void bench.clock.after(1_000, resolve));
      return answer()(attempt, request);
    };
    const call = bench.pool.execute(PUT);
    await bench.advance(1_020);
    expect((await call).attempts).toHaveLength(1);
  });

  test("a transfer below the minimum rate is cut", async () => {
    const bench = await openBench({
      servers: [{ serverId: "a", timeout: 100, retryAttempts: 0 }],
      limits: { minimumRate: 1_000 },
    });
    bench.server("a").behaviour = (attempt, request) => {
      const tick = () => {
        attempt.progress(5);
        if (!attempt.signal.aborted) bench.clock.after(50, tick);
      };
      tick();
      return hang(attempt, request);
    };
    const call = failure(bench.pool.execute(PUT));
    await bench.advance(140);
    expect((await call).code).toBe("OUTCOME_UNKNOWN");
  });

  test("a transfer that stalls after a burst is cut after one timeout", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", timeout: 100, retryAttempts: 0 }] });
    bench.server("a").behaviour = (attempt, request) => {
      attempt.sent();
      attempt.progress(100_000_000);
      return hang(attempt, request);
    };
    const call = failure(bench.pool.execute(PUT));
    await bench.advance(120);
    expect((await call).code).toBe("OUTCOME_UNKNOWN");
  });
});

describe("bodies", () => {
  test("one that flows on holds its slot until it has ended", async () => {
    const bench = await openBench({ servers: ["a"] });
    const bodies: FlowingBody[] = [];
    bench.server("a").behaviour = stream(bodies);
    const { value } = await bench.pool.execute(GET);
    expect(bench.slots()).toBe(1);
    expect(bench.pool.list()[0]?.attempts.total).toBe(0);
    value.body?.end();
    value.body?.end();
    expect(bench.slots()).toBe(0);
    expect(bench.pool.list()[0]?.attempts).toEqual({ total: 1, failed: 0 });
  });

  test("one that breaks in the caller's hands counts against the server", async () => {
    const bench = await openBench({ servers: ["a"] });
    const bodies: FlowingBody[] = [];
    bench.server("a").behaviour = stream(bodies);
    await bench.pool.execute(GET);
    bodies[0]?.end({ kind: "broken", blame: "server", message: "connection reset" });
    expect(bench.pool.list()[0]).toMatchObject({
      attempts: { total: 1, failed: 1 },
      health: { consecutiveFailures: 1 },
    });
  });

  test("one that stands still after it was handed over is cut, and the slot is free", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", timeout: 300 }], deadline: 350 });
    const bodies: FlowingBody[] = [];
    bench.server("a").behaviour = stream(bodies);
    await bench.pool.execute(GET);
    for (let moved = 0; moved < 10; moved++) {
      await bench.advance(200);
      bodies[0]?.flow(1);
    }
    expect(bench.slots()).toBe(1);
    await bench.advance(320);
    expect(bench.slots()).toBe(0);
    expect(bodies[0]?.attempt.signal.aborted).toBe(true);
    // Its reader may have been the one who stood still.
    expect(bench.pool.list()[0]?.health.status).toBe("healthy");
  });

  test("one whose transport never lets go does not keep its slot either", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", timeout: 300 }] });
    bench.server("a").behaviour = (attempt, request) => {
      attempt.hold();
      return answer()(attempt, request);
    };
    await bench.pool.execute(GET);
    expect(bench.slots()).toBe(1);
    await bench.advance(320);
    expect(bench.slots()).toBe(0);
  });

  test("one that breaks while the call reads it comes from another server", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    const { value, attempts } = await bench.pool.execute(GET, {
      consume: (response) =>
        response.serverId === "a"
          ? Promise.reject(new ScriptedError({ kind: "broken", blame: "server", message: "broke off" }))
          : Promise.resolve("all of it"),
    });
    expect(value).toBe("all of it");
    expect(attempts).toMatchObject([{ serverId: "a", outcome: "unknown" }, { serverId: "b" }]);
    expect(bench.server("a").responses[0]?.discarded).toBe(1);
  });

  test("one of a settled 503 that breaks is one attempt, not two", async () => {
    const bench = await openBench({ servers: ["a"] });
    bench.server("a").behaviour = answer(503);
    const error = await failure(
      bench.pool.execute(POST, {
        consume: () => Promise.reject(new ScriptedError({ kind: "broken", blame: "server", message: "broke off" })),
      }),
    );
    expect(error).toMatchObject({ code: "OUTCOME_UNKNOWN", attempts: [{ failure: { kind: "broken" } }] });
    expect(error.attempts).toHaveLength(1);
  });

  test.each([POST, PUT])(
    "one that breaks, of a request that changes something, is no reason to repeat it",
    async (request) => {
      const bench = await openBench({ servers: ["a", "b"] });
      const error = await failure(
        bench.pool.execute(request, {
          consume: () => Promise.reject(new ScriptedError({ kind: "broken", blame: "server", message: "broke off" })),
        }),
      );
      expect(error).toMatchObject({ code: "ANSWER_INCOMPLETE", attempts: [{ serverId: "a", outcome: "answered" }] });
      expect(error.message).toContain("answered by a, but its answer broke off (broke off)");
      expect([bench.sent(), bench.slots()]).toEqual(["a:1 b:0", 0]);
    },
  );

  test("one that stops, of a request that changes something, is what its reader makes of it", async () => {
    const bench = await openBench({ servers: ["a"], deadline: 500 });
    const read = async (_response: unknown, { signal }: { readonly signal: AbortSignal }) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      return "a part of it";
    };
    const call = bench.pool.execute(POST, { consume: read });
    await bench.advance(500);
    expect((await call).value).toBe("a part of it");
    expect(bench.slots()).toBe(0);
    const never = failure(bench.pool.execute(POST, { consume: () => new Promise(() => undefined) }));
    await bench.advance(500);
    expect((await never).code).toBe("ANSWER_INCOMPLETE");
  });

  test("reading one has the attempt's time and no more", async () => {
    const bench = await openBench({ servers: ["a"], deadline: 500 });
    const call = failure(bench.pool.execute(GET, { consume: () => new Promise(() => undefined) }));
    await bench.advance(500);
    expect((await call).code).toBe("DEADLINE_EXCEEDED");
    expect(bench.slots()).toBe(0);
  });
});

describe("retries", () => {
  test("are as many as the first server's retryAttempts, all servers together", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", retryAttempts: 1 }, "b", "c"] });
    for (const server of ["a", "b", "c"]) bench.server(server).behaviour = refuse;
    const error = await failure(bench.pool.execute(GET));
    expect(error.attempts).toMatchObject([{ serverId: "a" }, { serverId: "b" }]);
  });

  test("are that many whatever the policy says", async () => {
    const failover: FailoverPolicy = { decide: () => ({ action: "retry", on: "other", delay: 0, charge: false }) };
    const bench = await openBench({ servers: ["a", "b"], failover });
    bench.server("a").behaviour = refuse;
    bench.server("b").behaviour = refuse;
    expect((await failure(bench.pool.execute(GET))).attempts).toHaveLength(4);
  });

  test("on the same server stay there for one attempt only", async () => {
    const seen: boolean[] = [];
    const failover: FailoverPolicy = {
      decide: ({ attempts, pinned }) => {
        seen.push(pinned);
        return { action: "retry", on: attempts.length === 1 ? "same" : "other", delay: 0, charge: false };
      },
    };
    const bench = await openBench({ servers: ["a", "b"], failover });
    bench.server("a").behaviour = refuse;
    const { attempts } = await bench.pool.execute(GET);
    expect(attempts.map((attempt) => attempt.serverId)).toEqual(["a", "a", "b"]);
    expect(seen).toEqual([false, false]);
  });

  test("stay on the same server where failover is off", async () => {
    const bench = await openBench({ servers: ["a", "b"], failoverEnabled: false });
    bench.server("a").behaviour = sequence(refuse, refuse, answer());
    const call = bench.pool.execute(GET);
    await bench.advance(1_000);
    expect((await call).attempts.map((attempt) => attempt.serverId)).toEqual(["a", "a", "a"]);
  });

  test("pause before they ask again, longer each time and as long as the server asks for", async () => {
    const bench = await openBench({ servers: ["a"] });
    const at: number[] = [];
    bench.server("a").behaviour = (attempt, request) => {
      at.push(bench.clock.now());
      return answer(503, at.length === 3 ? { retryAfter: 1_000 } : {})(attempt, request);
    };
    const call = bench.pool.execute(GET);
    await bench.advance(2_000);
    await call;
    expect(at[0]).toBe(0);
    // 100 ms and 200 ms, three quarters of each with a random number of 0.5; then what was asked for.
    expect(at.slice(1).map((time, index) => time - (at[index] ?? 0))).toEqual([80, 150, 1_000]);
  });

  test("do not begin when their pause would outlast the deadline", async () => {
    const bench = await openBench({ servers: ["a"] });
    bench.server("a").behaviour = answer(503, { retryAfter: 3_000 });
    const { value, attempts } = await bench.pool.execute(GET, { deadline: 2_000 });
    expect(value.status).toBe(503);
    expect(attempts).toHaveLength(1);
  });

  test("go to every server before any is asked again, and then not to the one that failed last", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    bench.server("a").behaviour = refuse;
    bench.server("b").behaviour = refuse;
    const call = failure(bench.pool.execute(GET));
    await bench.advance(2_000);
    expect((await call).attempts).toMatchObject(["a", "b", "a", "b"].map((serverId) => ({ serverId })));
  });

  test("do not count servers that cannot take the request", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    bench.transport.serves = (profile) => profile.serverId === "a";
    bench.server("a").behaviour = sequence(answer(503), answer());
    const call = bench.pool.execute(GET);
    await flush();
    expect(bench.server("a").asked).toBe(1);
    await bench.advance(100);
    expect(await call).toMatchObject({ serverId: "a", value: { status: 200 } });
  });

  test("draw on the budget, except the first move after a connection failure", async () => {
    const bench = await openBench({ servers: ["a", "b"], limits: { retryBudget: 0 } });
    bench.server("a").behaviour = refuse;
    expect((await bench.pool.execute(GET)).serverId).toBe("b");
    bench.server("a").behaviour = answer(503);
    expect((await bench.pool.execute(GET)).value.status).toBe(503);
    bench.server("a").behaviour = refuse;
    bench.server("b").behaviour = refuse;
    expect((await failure(bench.pool.execute(GET))).attempts).toHaveLength(2);
  });

  test("say in the error how often the request was sent, where, and what to raise when the servers are slow", async () => {
    const bench = await openBench({
      servers: ["a", "b"].map((serverId) => ({ serverId, timeout: 1_000, retryAttempts: 1 })),
    });
    bench.server("a").behaviour = breakOff;
    bench.server("b").behaviour = hang;
    const call = failure(bench.pool.execute(PUT));
    await bench.advance(1_100);
    expect((await call).message).toBe(
      "PUT may or may not have been carried out: it was sent 2 times (a: connection reset; b: no complete answer within 1000 ms). Look at the current state before sending it again. If its servers are slow rather than broken, raise their `timeout`.",
    );
    bench.server("a").behaviour = breakOff;
    const once = await failure(bench.pool.execute(POST, { serverId: "a" }));
    expect(once.message).toContain("it was sent once (a: connection reset). Look at");
  });

  test("end with DEADLINE_EXCEEDED when every server used up its own timeout", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", timeout: 1_000, retryAttempts: 0 }] });
    bench.server("a").behaviour = hang;
    const call = failure(bench.pool.execute(GET));
    await bench.advance(1_100);
    const { code, message } = await call;
    expect([code, message]).toEqual([
      "DEADLINE_EXCEEDED",
      "GET was not answered in time (a: no complete answer within 1000 ms). If its servers are slow rather than broken, raise their `timeout`.",
    ]);
  });

  test("print whole milliseconds", async () => {
    const bench = await openBench({ servers: ["a"] });
    bench.server("a").behaviour = hang;
    const call = failure(bench.pool.execute(GET, { deadline: 599.804_093_000_2 }));
    await bench.advance(700);
    expect((await call).message).toMatch(/^GET did not finish within 600 ms/);
  });

  test("that name a server tell of that one alone when it gave no answer", async () => {
    const bench = await openBench({ servers: ["a", { serverId: "b", retryAttempts: 0 }] });
    bench.server("b").behaviour = refuse;
    const { message } = await failure(bench.pool.execute(GET, { serverId: "b" }));
    expect(message).toContain("b: healthy (connection refused)");
    expect(message).not.toContain("a:");
  });

  test("of one call that fails on every server are honest about the first", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", retryAttempts: 1 }, "b"] });
    bench.server("a").behaviour = breakOff;
    bench.server("b").behaviour = refuse;
    const error = await failure(bench.pool.execute(PUT));
    expect(error).toMatchObject({ code: "OUTCOME_UNKNOWN", attempts: [{ outcome: "unknown" }, { outcome: "failed" }] });
  });

  test("that find no slot are honest about the first attempt too", async () => {
    const bench = await openBench({
      servers: ["a", { serverId: "b", maxConnections: 1 }],
      limits: { queue: false },
    });
    bench.server("b").behaviour = hang;
    const blocking = failure(bench.pool.execute(GET, { serverId: "b" }));
    await flush();
    bench.server("a").behaviour = breakOff;
    expect((await failure(bench.pool.execute(PUT))).code).toBe("OUTCOME_UNKNOWN");
    await bench.advance(10_000);
    await blocking;
  });

  test("never follow what the transport calls unsent although it was sent", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    bench.server("a").behaviour = (attempt, request) => {
      attempt.sent();
      return refuse(attempt, request);
    };
    expect((await failure(bench.pool.execute(POST))).code).toBe("OUTCOME_UNKNOWN");
    expect(bench.sent()).toBe("a:1 b:0");
  });

  test("may end with a policy that fails, and then the call is settled", async () => {
    const failover: FailoverPolicy = {
      decide: () => {
        throw new Error("oh no");
      },
    };
    const bench = await openBench({ servers: ["a", "b"], failover });
    bench.server("a").behaviour = answer(503);
    expect((await bench.pool.execute(GET)).value.status).toBe(503);
    expect(bench.lines).toContainEqual({
      level: "error",
      message: 'The failover policy "failover" failed; the call ends here.',
    });
    expect(bench.slots()).toBe(0);
  });
});

describe("a repeat after an unknown outcome", () => {
  const options: BenchOptions = { servers: ["a", "b"] };

  test("is verified when it finds the work done", async () => {
    const bench = await openBench(options);
    bench.server("a").behaviour = breakOff;
    bench.server("b").behaviour = sequence(answer(404), answer(200));
    const done = { status: 204, serverId: "b", discarded: 0 };
    bench.transport.verify = async (_request, response, ask) => {
      expect(response.status).toBe(404);
      expect((await ask(GET)).status).toBe(200);
      return done;
    };
    const { value, attempts } = await bench.pool.execute({ operation: "DELETE", repeat: "idempotent" });
    expect(value).toBe(done);
    expect(attempts).toMatchObject([{ serverId: "a", outcome: "unknown" }, { serverId: "b" }]);
    expect(bench.server("b").responses[0]?.discarded).toBe(1);
  });

  test.for([502, 504])(
    "is verified as well when the first answer was %i: the work may have been done",
    async (status) => {
      const bench = await openBench(options);
      bench.server("a").behaviour = answer(status);
      bench.server("b").behaviour = answer(404);
      bench.transport.verify = () => Promise.resolve({ status: 204, serverId: "b", discarded: 0 });
      const { value, attempts } = await bench.pool.execute({ operation: "DELETE", repeat: "idempotent" });
      expect(value.status).toBe(204);
      expect(attempts).toMatchObject([{ serverId: "a", outcome: "unknown" }, { serverId: "b" }]);
    },
  );

  test("that fails itself is a success when the work is found done", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", retryAttempts: 1 }, "b"] });
    bench.server("a").behaviour = breakOff;
    bench.server("b").behaviour = answer(500);
    bench.transport.verify = () => Promise.resolve({ status: 204, serverId: "b", discarded: 0 });
    const { value } = await bench.pool.execute({ operation: "MOVE", repeat: "idempotent" });
    expect(value.status).toBe(204);
    expect(bench.pool.stats().requestStats).toMatchObject({ successful: 1, failed: 0 });
  });

  test("that cannot be sent leaves the outcome of a 502 unknown", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", retryAttempts: 1 }, "b"] });
    bench.server("a").behaviour = answer(502);
    bench.server("b").behaviour = refuse;
    expect((await failure(bench.pool.execute(PUT))).code).toBe("OUTCOME_UNKNOWN");
  });

  test("is given as it is when the work is not done", async () => {
    const bench = await openBench(options);
    bench.server("a").behaviour = breakOff;
    bench.server("b").behaviour = answer(404);
    bench.transport.verify = () => Promise.resolve(undefined);
    expect((await bench.pool.execute(PUT)).value.status).toBe(404);
  });

  test("is not verified when the first attempt provably did nothing, or the request is safe", async () => {
    const bench = await openBench(options);
    bench.transport.verify = () => Promise.reject(new Error("not to be called"));
    bench.server("a").behaviour = refuse;
    expect((await bench.pool.execute(PUT)).serverId).toBe("b");
    bench.server("a").behaviour = breakOff;
    expect((await bench.pool.execute(GET)).serverId).toBe("b");
  });
});

describe("affinity", () => {
  const LOCK = { operation: "LOCK", repeat: "neither" } as const;

  test("a lock is followed to its owner, and forgotten when it ends", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    bench.server("b").behaviour = answer(200, { affinity: [{ learn: "token", kind: "lock", ttl: 60_000 }] });
    await bench.pool.execute(LOCK, { serverId: "b" });
    expect((await bench.pool.execute({ ...PUT, boundTo: ["token"] })).serverId).toBe("b");
    bench.server("b").behaviour = answer(204, { affinity: [{ forget: "token" }] });
    expect((await bench.pool.execute({ ...PUT, operation: "UNLOCK", boundTo: ["token"] })).serverId).toBe("b");
    expect((await failure(bench.pool.execute({ ...PUT, boundTo: ["token"] }))).code).toBe("AFFINITY_UNKNOWN");
  });

  test("a lock that has run out is unknown", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    bench.server("b").behaviour = answer(200, { affinity: [{ learn: "token", kind: "lock", ttl: 1_000 }] });
    await bench.pool.execute(LOCK, { serverId: "b" });
    await bench.advance(1_000, 1_000);
    expect((await failure(bench.pool.execute({ ...PUT, boundTo: ["token"] }))).message).toBe(
      "PUT carries a lock token or entity tag, and it is not known which server gave it. Name the server with serverId: a, b.",
    );
  });

  test("an unknown owner does not matter to what is safe, to a pool of one, or when the server is named", async () => {
    const several = await openBench({ servers: ["a", "b"] });
    expect((await several.pool.execute({ ...GET, boundTo: ["?"] })).serverId).toBe("a");
    expect((await several.pool.execute({ ...PUT, boundTo: ["?"] }, { serverId: "b" })).serverId).toBe("b");
    const one = await openBench({ servers: ["a"] });
    expect((await one.pool.execute({ ...PUT, boundTo: ["?"] })).serverId).toBe("a");
  });

  test("keys of several servers are a conflict", async () => {
    const affinity = { get: (key: string) => key, set() {}, delete() {} };
    const bench = await openBench({ affinity });
    expect(await failure(bench.pool.execute({ ...PUT, boundTo: ["a", "b"] }))).toMatchObject({
      code: "AFFINITY_CONFLICT",
      details: { owners: ["a", "b"] },
    });
  });

  test("an owner that is disabled takes nothing, and one that left is unknown", async () => {
    const affinity = { get: (key: string) => key, set() {}, delete() {} };
    const bench = await openBench({ affinity, servers: ["a", { serverId: "b", enabled: false }] });
    expect((await failure(bench.pool.execute({ ...PUT, boundTo: ["b"] }))).code).toBe("SERVER_DISABLED");
    expect((await failure(bench.pool.execute({ ...PUT, boundTo: ["gone"] }))).code).toBe("AFFINITY_UNKNOWN");
  });

  test("a good answer is given although its owner cannot be remembered", async () => {
    const affinity = { get: () => undefined, set: () => Promise.reject(new Error("no connection")), delete() {} };
    const bench = await openBench({ affinity });
    bench.server("a").behaviour = answer(200, { affinity: [{ learn: "token", kind: "lock" }] });
    expect((await bench.pool.execute(LOCK)).value.status).toBe(200);
    expect(bench.lines).toContainEqual({ level: "warn", message: expect.stringContaining("owns a lock") as string });
  });
});

describe("policies", () => {
  test("may deny a call; nothing is sent and nothing counted", async () => {
    const bench = await openBench({ policies: [policy({ before: () => ({ deny: "read-only" }) })] });
    expect(await failure(bench.pool.execute(PUT))).toMatchObject({
      code: "POLICY_DENIED",
      message: "PUT is not allowed: read-only",
    });
    expect(bench.sent()).toBe("a:0 b:0 c:0");
    expect(bench.pool.stats().requestStats.total).toBe(0);
  });

  test("may change a call, which then has the traits of what they made of it", async () => {
    const bench = await openBench({
      policies: [policy({ before: ({ request }) => (request.operation === "GET" ? { request: POST } : undefined) })],
    });
    bench.server("a").behaviour = breakOff;
    expect((await failure(bench.pool.execute(GET))).code).toBe("OUTCOME_UNKNOWN");
    expect(bench.server("a").sent).toEqual([POST]);
  });

  test("see the whole call before, in order, and its end after", async () => {
    const seen: unknown[] = [];
    const observer = (name: string) =>
      policy({
        before: ({ pool, caller, traits }) => {
          seen.push([name, pool, caller.principal, traits.operation]);
          return undefined;
        },
        after: (call, result) => void seen.push([name, result.serverId, result.failure?.kind]),
      });
    const bench = await openBench({ policies: [observer("one"), observer("two")] });
    await bench.pool.execute(GET, { caller: { principal: "alice" } });
    expect(seen).toEqual([
      ["one", "files", "alice", "GET"],
      ["two", "files", "alice", "GET"],
      ["one", "a", undefined],
      ["two", "a", undefined],
    ]);
    seen.length = 0;
    bench.server("a").behaviour = breakOff;
    await failure(bench.pool.execute(POST));
    expect(seen.at(-1)).toEqual(["two", undefined, "broken"]);
  });

  test("may keep a call from servers, also from the one it names", async () => {
    const bench = await openBench({ policies: [policy({ allows: (_call, server) => server.serverId !== "a" })] });
    expect((await bench.pool.execute(GET)).serverId).toBe("b");
    expect((await failure(bench.pool.execute(GET, { serverId: "a" }))).code).toBe("POLICY_DENIED");
    const none = await openBench({ servers: ["a"], policies: [policy({ allows: () => false })] });
    expect((await failure(none.pool.execute(GET))).message).toBe(
      "GET is not allowed: no server is left that the policies allow it on (a)",
    );
  });

  test("that fail before a call fail it, and after a call change nothing", async () => {
    const before = policy({
      before: () => {
        throw new Error("oh no");
      },
    });
    const failing = await openBench({ policies: [before] });
    const failed = await failure(failing.pool.execute(GET));
    expect(failed).toMatchObject({
      code: "POLICY_FAILED",
      message: 'GET was not sent: the policy "policy-1" failed: oh no',
      cause: new Error("oh no"),
    });
    const after = policy({
      after: () => {
        throw new Error("oh no");
      },
    });
    const bench = await openBench({ policies: [after] });
    expect((await bench.pool.execute(GET)).value.status).toBe(200);
    expect(bench.lines).toContainEqual({ level: "error", message: 'The policy "policy-1" failed after a call.' });
    expect(bench.slots()).toBe(0);
  });

  test("that reject after a call, or cannot say where it may go, are named", async () => {
    const bench = await openBench({
      policies: [{}, policy({ after: () => Promise.reject(new Error("oh no")) as never })],
    });
    expect((await bench.pool.execute(GET)).value.status).toBe(200);
    await flush();
    expect(bench.lines).toContainEqual({ level: "error", message: 'The policy "policy-2" failed after a call.' });
    const allows = () => {
      throw new Error("oh no");
    };
    const failing = await openBench({ policies: [policy({ allows })] });
    expect((await failure(failing.pool.execute(GET))).message).toBe(
      'GET was not sent: the policy "policy-1" failed: oh no',
    );
  });

  test.each<[string, unknown]>([
    ["an object with nonsense", { nonsense: 1 }],
    ["an object with deny", { deny: true }],
    ["an object with request", { request: 1 }],
    ["an object with deny, request", { deny: 1, request: GET }],
    ["an object with nothing", {}],
    ["the boolean false", false],
    ["the string deny", "deny"],
  ])("that return %s fail the call, and it is said what they may return", async (what, ruling) => {
    for (const before of [() => ruling, () => Promise.resolve(ruling)]) {
      const bench = await openBench({ policies: [policy({ before: before as never })] });
      expect(await failure(bench.pool.execute(GET))).toMatchObject({
        code: "POLICY_FAILED",
        message: `GET was not sent: the policy "policy-1" returned ${what} from before. It may return nothing, { deny } with the reason as text, or { request } with the request to go on with.`,
      });
      expect(bench.sent()).toBe("a:0 b:0 c:0");
    }
  });

  test("that return a request which is none fail the call", async () => {
    const bench = await openBench({ policies: [policy({ before: () => ({ request: { odd: 1 } as never }) })] });
    bench.transport.traits = (request) => {
      if (!("operation" in request)) throw new TypeError("Cannot destructure property 'operation'");
      return { replayable: true, ...request };
    };
    expect(await failure(bench.pool.execute(GET))).toMatchObject({ code: "POLICY_FAILED" });
  });

  test("that do not answer are named when the time is up", async () => {
    const never = policy({ before: () => new Promise<never>(() => undefined) });
    const bench = await openBench({ policies: [{}, never], deadline: 1_000 });
    const call = failure(bench.pool.execute(PUT));
    await bench.advance(1_100);
    expect(await call).toMatchObject({
      code: "DEADLINE_EXCEEDED",
      message:
        'The policy "policy-2" did not answer within 1000 ms, and nothing of PUT was sent. Look at what its before waits for.',
    });
    const caller = new AbortController();
    const cancelled = failure(bench.pool.execute(PUT, { signal: caller.signal }));
    await flush();
    caller.abort();
    expect((await cancelled).code).toBe("CANCELLED");
  });

  test("that reject before a call fail it", async () => {
    const bench = await openBench({ policies: [policy({ before: () => Promise.reject(new Error("no database")) })] });
    expect((await failure(bench.pool.execute(GET))).message).toContain("no database");
  });
});

describe("what plugins and listeners do wrong", () => {
  const oops = (): never => {
    throw new Error("oh no");
  };

  test.each([
    ["throws", oops, /failed in select: oh no/],
    ["chooses nobody", () => undefined as never, /returned none of the candidates from select/],
    ["is async", async () => Promise.reject(new Error("oh no")) as never, /returned a promise from select/],
  ] as const)(
    "a selector that %s is named, and the first candidate takes its place",
    async (_what, select, problem) => {
      const bench = await openBench({ selector: { select: select as never } });
      expect((await bench.pool.execute(GET)).serverId).toBe("a");
      const line = bench.lines.find(({ level }) => level === "error");
      expect(line?.message).toMatch(/^The strategy "strategy" .* The request goes to a\.$/);
      expect(line?.message).toMatch(problem);
      expect(bench.slots()).toBe(0);
    },
  );

  test("a selector that cannot observe or forget loses nothing for the others", async () => {
    const bench = await openBench({
      servers: [{ serverId: "a", maxConnections: 1 }],
      selector: { select: ([first]) => first, observe: oops, forget: oops },
    });
    const late = await openBench({
      selector: { select: ([first]) => first, observe: () => Promise.reject(new Error("oh no")) as never },
    });
    const calls = [bench.pool.execute(GET), bench.pool.execute(GET), bench.pool.execute(GET)];
    expect(await Promise.all(calls)).toHaveLength(3);
    await late.pool.execute(GET);
    await flush();
    expect(late.lines).toContainEqual({ level: "error", message: 'The strategy "strategy" failed.' });
    await bench.pool.add({ serverId: "x" });
    await bench.pool.remove("x");
    expect(bench.slots()).toBe(0);
    expect(bench.lines).toContainEqual({ level: "error", message: 'The strategy "strategy" failed.' });
  });

  test("a listener that throws or rejects is logged", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    bench.pool.on("failover", oops);
    bench.pool.on("failover", () => Promise.reject(new Error("oh no")) as never);
    bench.server("a").behaviour = refuse;
    expect((await bench.pool.execute(GET)).serverId).toBe("b");
    await flush();
    const complaints = bench.lines.filter((line) => line.message === 'A listener of "failover" failed.');
    expect(complaints).toHaveLength(2);
  });

  test("a listener that was disposed of hears nothing more", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    let heard = 0;
    const listening = bench.pool.on("failover", () => void heard++);
    bench.server("a").behaviour = refuse;
    await bench.pool.execute(GET);
    listening[Symbol.dispose]();
    await bench.pool.execute(GET);
    expect(heard).toBe(1);
  });
});

describe("what a strategy is told", () => {
  test("how each attempt ended", async () => {
    const seen: unknown[] = [];
    const bench = await openBench({
      servers: ["a"],
      selector: {
        select: ([first]) => first,
        observe: ({ serverId }, { end, failure: why }) => void seen.push([serverId, end, why?.kind]),
      },
    });
    await bench.pool.execute(GET);
    bench.server("a").behaviour = breakOff;
    await failure(bench.pool.execute(POST));
    bench.server("a").behaviour = invalid;
    await failure(bench.pool.execute(POST));
    bench.server("a").behaviour = hang;
    const caller = new AbortController();
    const call = failure(bench.pool.execute(GET, { signal: caller.signal }));
    await flush();
    caller.abort();
    await call;
    expect(seen).toEqual([
      ["a", "answer", undefined],
      ["a", "failure", "broken"],
      ["a", "cancelled", "invalid"],
      ["a", "cancelled", "cancelled"],
    ]);
  });
});
