import { describe, expect, test } from "vitest";
import type { Credentials, CredentialSource } from "../contracts/credential-source.ts";
import { CredentialsRefusedError } from "../errors/server-errors.ts";
import { GET, POST, flush, openBench, type BenchOptions } from "../testing/pool-bench.test-support.ts";
import { answer, type Behaviour } from "../testing/scripted-transport.test-support.ts";

const MINUTE = 60_000;
const CHECKED: BenchOptions = { servers: ["a", "b"], health: { enabled: true }, deadline: 60_000 };

/** Passwords that a test may change, the server's own under "". */
function vault(passwords: Record<string, string>): CredentialSource {
  return {
    credentials: (_profile, principal): Promise<Credentials> =>
      Promise.resolve({ password: passwords[principal ?? ""] ?? "" }),
    partition: (_profile, principal) => principal ?? "",
  };
}
const refusing = (bench: Awaited<ReturnType<typeof openBench>>, serverId: string) => {
  bench.server(serverId).probe = () => Promise.reject(new CredentialsRefusedError(serverId));
  bench.server(serverId).behaviour = answer(401);
};
const status = (bench: Awaited<ReturnType<typeof openBench>>) => bench.pool.list()[0]?.health.status;

describe("a server that refuses its credentials", () => {
  test("leaves the rotation with the first check that says so", async () => {
    const bench = await openBench(CHECKED);
    refusing(bench, "a");
    await bench.advance(10);
    expect(status(bench)).toBe("unhealthy");
    expect((await bench.pool.execute(POST)).serverId).toBe("b");
    expect(bench.sent()).toBe("a:0 b:1");
    expect(bench.lines.findLast(({ level }) => level === "warn")?.message).toContain(
      'Server "a" refuses its credentials (HTTP 401)',
    );
  });

  test("is checked soon when it refuses a request, and the request goes to another server", async () => {
    const bench = await openBench(CHECKED);
    await bench.advance(10);
    refusing(bench, "a");
    expect((await bench.pool.execute(POST)).serverId).toBe("b");
    await bench.advance(2_100, 100);
    expect(status(bench)).toBe("unhealthy");
  });

  test("stays in rotation when it refuses one path only", async () => {
    const bench = await openBench(CHECKED);
    await bench.advance(10);
    bench.server("a").behaviour = (attempt, request) =>
      (request.resource === "secret" ? answer(401) : answer())(attempt, request);
    for (let count = 0; count < 10; count++) {
      await bench.pool.execute({ ...GET, resource: "secret" });
      await bench.advance(3_000, 100);
    }
    expect(status(bench)).toBe("healthy");
    expect((await bench.pool.execute(GET)).serverId).toBe("a");
  });

  test("is not knocked at until minutes have passed, ever more of them", async () => {
    const bench = await openBench({ ...CHECKED, servers: ["a"] });
    refusing(bench, "a");
    await bench.advance(10);
    const { probes } = bench.server("a");
    const knocks: number[] = [];
    for (let minute = 1; minute <= 180; minute++) {
      const before = bench.server("a").probes + bench.server("a").asked;
      await bench.advance(MINUTE, 1_000);
      for (let count = 0; count < 3; count++) await bench.pool.execute(GET).catch(() => undefined);
      const now = bench.server("a").probes + bench.server("a").asked;
      expect(now - before).toBeLessThanOrEqual(1);
      if (now > before) knocks.push(minute);
    }
    expect(probes).toBe(1);
    // A check or a call, whichever comes first: after 2, 4, 8, 16 and 32 minutes, then once an hour.
    expect(knocks).toHaveLength(6);
    const pauses = knocks.map((minute, index) => minute - (knocks[index - 1] ?? 0));
    for (const [index, expected] of [2, 4, 8, 16, 32, 60].entries()) {
      expect(pauses[index]).toBeGreaterThanOrEqual(expected - 1);
      expect(pauses[index]).toBeLessThanOrEqual(expected + 1);
    }
  });

  test("is asked again with the next check once its credentials have changed, and not before", async () => {
    const passwords = { "": "wrong" };
    const bench = await openBench({ ...CHECKED, credentials: vault(passwords) });
    refusing(bench, "a");
    await bench.advance(10);
    await bench.advance(60_000, 1_000);
    expect(bench.server("a").probes).toBe(1);
    bench.server("a").probe = () => Promise.resolve();
    bench.server("a").behaviour = answer();
    await bench.advance(59_000, 1_000);
    expect([bench.server("a").probes, status(bench)]).toEqual([1, "unhealthy"]);
    passwords[""] = "right";
    await bench.advance(70_000, 1_000);
    expect(status(bench)).toBe("healthy");
    expect(bench.transport.inits.at(-1)?.credentials).toEqual({ password: "right" });
  });

  test("is asked at once when its profile changes", async () => {
    const bench = await openBench({ ...CHECKED, servers: ["b"] });
    await bench.pool.add({ serverId: "x", password: "wrong" });
    refusing(bench, "x");
    await bench.advance(10);
    await bench.advance(10_000, 1_000);
    const { probes } = bench.server("x");
    bench.server("x").probe = () => Promise.resolve();
    await bench.pool.update("x", { password: "right" });
    await bench.advance(10);
    expect(bench.server("x").probes).toBe(probes + 1);
  });
});

describe("a principal whose own credentials are refused", () => {
  const credentials = vault({ "": "s", alice: "wrong", bob: "right" });
  const wrong: Behaviour = (attempt, request) =>
    answer(attempt.caller.principal === "alice" ? 401 : 200)(attempt, request);
  const as = (principal: string) => ({ caller: { principal }, serverId: "a" });

  test("does not knock any more after three refusals in a row; others are served", async () => {
    const bench = await openBench({ ...CHECKED, credentials });
    bench.server("a").behaviour = wrong;
    for (let count = 0; count < 3; count++) expect((await bench.pool.execute(GET, as("alice"))).value.status).toBe(401);
    const { asked } = bench.server("a");
    for (let count = 0; count < 20; count++)
      await expect(bench.pool.execute(GET, as("alice"))).rejects.toMatchObject({ code: "CREDENTIALS_REFUSED" });
    expect(bench.server("a").asked).toBe(asked);
    expect((await bench.pool.execute(GET, as("bob"))).value.status).toBe(200);
    await bench.advance(2 * MINUTE, 1_000);
    expect((await bench.pool.execute(GET, as("alice"))).value.status).toBe(401);
  });
});

describe("a connection that only fails", () => {
  test("is replaced, once its attempts have ended", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", retryAttempts: 0 }] });
    bench.server("a").behaviour = answer(500);
    for (let count = 0; count < 2; count++) await bench.pool.execute(GET);
    expect([bench.server("a").opened, bench.server("a").closed]).toEqual([1, 0]);
    await bench.pool.execute(GET);
    await flush();
    expect(bench.server("a").closed).toBe(1);
    await bench.pool.execute(GET);
    expect(bench.server("a").opened).toBe(2);
  });

  test("stays when something good comes in between, or when the callers are to blame", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", retryAttempts: 0 }] });
    for (const failing of [answer(500), answer(500), answer(200), answer(500), answer(500)]) {
      bench.server("a").behaviour = failing;
      await bench.pool.execute(GET);
    }
    const caller = new AbortController();
    bench.server("a").behaviour = () => {
      caller.abort();
      return new Promise(() => undefined);
    };
    await expect(bench.pool.execute(GET, { signal: caller.signal })).rejects.toMatchObject({ code: "CANCELLED" });
    expect([bench.server("a").opened, bench.server("a").closed]).toEqual([1, 0]);
  });

  test("is replaced when its checks fail, too", async () => {
    const bench = await openBench({ ...CHECKED, servers: ["a"] });
    bench.server("a").probe = () => Promise.reject(new Error("unknown session"));
    await bench.advance(10_000, 100);
    expect(bench.server("a").closed).toBeGreaterThan(0);
  });

  test("is replaced for the partition that fails, and for no other", async () => {
    const bench = await openBench({
      servers: [{ serverId: "a", retryAttempts: 0 }],
      credentials: vault({ alice: "a", bob: "b" }),
    });
    bench.server("a").behaviour = (attempt, request) =>
      answer(attempt.caller.principal === "alice" ? 500 : 200)(attempt, request);
    for (let count = 0; count < 3; count++)
      for (const principal of ["alice", "bob"]) await bench.pool.execute(GET, { caller: { principal } });
    await flush();
    expect([bench.server("a").opened, bench.server("a").closed]).toEqual([2, 1]);
  });
});
