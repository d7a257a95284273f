import { describe, expect, test } from "vitest";
import { GET, PUT, openBench, type BenchOptions } from "../testing/pool-bench.test-support.ts";
import {
  answer,
  breakOff,
  hang,
  refuse,
  type Behaviour,
  type ScriptedRequest,
} from "../testing/scripted-transport.test-support.ts";
import { Suspicion } from "./suspicion.ts";

const of = (resource: string, request: ScriptedRequest = GET): ScriptedRequest => ({ ...request, resource });
const status = async (bench: Awaited<ReturnType<typeof openBench>>, serverId = "a") => {
  await bench.advance(0);
  return bench.pool.list().find((server) => server.serverId === serverId)?.health.status;
};
const OPTIONS: BenchOptions = { servers: ["a", "b"], health: { ejection: 30_000 } };

/** Fails for one resource, and answers for all others. */
const failingMount =
  (resource: string, failure: Behaviour): Behaviour =>
  (attempt, request) =>
    (request.resource === resource ? failure : answer())(attempt, request);

describe("a failure of a request is not a failure of its server", () => {
  test.for([
    ["503", answer(503)],
    ["500", answer(500)],
    ["a broken connection", breakOff],
  ] as const)("%s from one resource leaves the server in rotation for all others", async ([, failing]) => {
    const bench = await openBench(OPTIONS);
    bench.server("a").behaviour = failingMount("mount", failing);
    for (let count = 0; count < 10; count++) {
      expect((await bench.pool.execute(of("mount", PUT))).serverId).toBe("b");
      expect((await bench.pool.execute(of("docs", PUT))).serverId).toBe("a");
    }
    expect(await status(bench)).not.toBe("unhealthy");
    expect(bench.events.map(({ event }) => event)).not.toContain("server-ejected");
  });

  test("leaves the server in rotation, too, when nothing else is asked for in between", async () => {
    const bench = await openBench(OPTIONS);
    bench.server("a").behaviour = failingMount("mount", answer(503));
    for (let count = 0; count < 10; count++) await bench.pool.execute(of("mount", PUT));
    expect(await status(bench)).toBe("degraded");
    expect((await bench.pool.execute(of("docs", PUT))).serverId).toBe("a");
  });

  test("has the failing resource asked for elsewhere, and tries again after a while", async () => {
    const bench = await openBench(OPTIONS);
    bench.server("a").behaviour = failingMount("mount", answer(503));
    for (let count = 0; count < 3; count++) await bench.pool.execute(of("mount"));
    const asked = bench.server("a").asked;
    for (let count = 0; count < 50; count++) await bench.pool.execute(of("mount"));
    expect(bench.server("a").asked).toBe(asked);
    bench.server("a").behaviour = answer();
    await bench.advance(30_000, 100);
    for (let count = 0; count < 3; count++) expect((await bench.pool.execute(of("mount"))).serverId).toBe("a");
  });

  test("avoids a resource longer each time that it fails again", async () => {
    let now = 0;
    const suspicion = new Suspicion({ failures: 2, ejection: 100 }, () => now);
    const evidence = { resource: "mount", principal: undefined, pinned: false };
    suspicion.failed(evidence);
    expect(suspicion.avoids(undefined, "mount")).toBe(false);
    for (const long of [100, 200, 300]) {
      suspicion.failed(evidence);
      now += long - 1;
      expect(suspicion.avoids(undefined, "mount")).toBe(true);
      now += 1;
      expect(suspicion.avoids(undefined, "mount")).toBe(false);
    }
    suspicion.failed(evidence);
    suspicion.succeeded(evidence);
    expect(suspicion.avoids(undefined, "mount")).toBe(false);
  });

  test("remembers a bounded number of failing resources", () => {
    const suspicion = new Suspicion({ failures: 1, ejection: 100 }, () => 0);
    for (let count = 0; count <= 1_000; count++)
      suspicion.failed({ resource: String(count), principal: undefined, pinned: false });
    expect([suspicion.avoids(undefined, "0"), suspicion.avoids(undefined, "1000")]).toEqual([false, true]);
  });

  test("still asks for the failing resource where no other server is left", async () => {
    const bench = await openBench({ ...OPTIONS, servers: [{ serverId: "a", retryAttempts: 0 }] });
    bench.server("a").behaviour = answer(503);
    for (let count = 0; count < 5; count++) expect((await bench.pool.execute(of("mount"))).value.status).toBe(503);
    expect(bench.server("a").asked).toBe(5);
  });
});

describe("a server leaves the rotation", () => {
  test("when different resources fail, one after the other", async () => {
    const bench = await openBench(OPTIONS);
    bench.server("a").behaviour = answer(503);
    for (const resource of ["one", "two", "one"]) await bench.pool.execute(of(resource));
    expect(await status(bench)).toBe("unhealthy");
  });

  test("when no connection can be made, whatever is asked for", async () => {
    const bench = await openBench(OPTIONS);
    bench.server("a").behaviour = refuse;
    for (let count = 0; count < 3; count++) await bench.pool.execute(of("one"));
    expect(await status(bench)).toBe("unhealthy");
  });

  test("but not when the only other one still has to show that it has recovered", async () => {
    const servers = ["a", "b"].map((serverId) => ({ serverId, retryAttempts: 0 }));
    const bench = await openBench({ servers, health: { ejection: 1_000 } });
    bench.server("a").behaviour = answer(503);
    for (let count = 0; count < 3; count++) await bench.pool.execute(GET);
    await bench.advance(1_100, 100);
    bench.server("b").behaviour = answer(503);
    for (let count = 0; count < 5; count++) await bench.pool.execute(GET, { serverId: "b" });
    expect([await status(bench, "a"), await status(bench, "b")]).toEqual(["unhealthy", "degraded"]);
  });

  test("when its check agrees with the requests that failed", async () => {
    const bench = await openBench({ ...OPTIONS, health: { enabled: true } });
    await bench.advance(10);
    bench.server("a").behaviour = answer(503);
    bench.server("a").probe = () => Promise.reject(new Error("no answer"));
    for (let count = 0; count < 3; count++) await bench.pool.execute(of("one"));
    await bench.advance(2_100, 100);
    expect(await status(bench)).toBe("unhealthy");
  });
});

describe("one caller's failures", () => {
  const as = (principal: string) => ({ caller: { principal } });

  test("do not move anybody else, however many resources they name", async () => {
    const bench = await openBench({ ...OPTIONS, writes: "primary" });
    bench.server("a").behaviour = (attempt, request) =>
      (attempt.caller.principal === "mallory" ? answer(500) : answer())(attempt, request);
    for (let count = 0; count < 30; count++) await bench.pool.execute(of(`resource ${count}`), as("mallory"));
    expect(await status(bench)).not.toBe("unhealthy");
    expect((await bench.pool.execute(of("resource 1", PUT), as("alice"))).serverId).toBe("a");
  });

  test("count together with another's", async () => {
    const bench = await openBench(OPTIONS);
    bench.server("a").behaviour = answer(500);
    await bench.pool.execute(of("one"), as("alice"));
    await bench.pool.execute(of("two"), as("bob"));
    await bench.pool.execute(of("three"), as("alice"));
    expect(await status(bench)).toBe("unhealthy");
  });

  test.for([
    ["answers", answer(500)],
    ["time-outs", hang],
  ] as const)(
    "do not take out a server that they name, as long as its checks find it well: %s",
    async ([, failing]) => {
      const bench = await openBench({ ...OPTIONS, health: { enabled: true } });
      await bench.advance(10);
      bench.server("a").behaviour = failing;
      const calls = ["one", "two", "three", "four"].map((resource) =>
        bench.pool.execute(of(resource), { serverId: "a", deadline: 1_000 }).catch(() => undefined),
      );
      await bench.advance(1_500, 100);
      await Promise.all(calls);
      expect(await status(bench)).not.toBe("unhealthy");
    },
  );
});

describe("answers that count when they repeat", () => {
  const run = async (codes: readonly number[], status_: number) => {
    const bench = await openBench({
      ...OPTIONS,
      health: { rejections: 2, failures: 1, rejectionCodes: new Set(codes) },
    });
    bench.transport.refusal = ({ status: given }) => (given >= 400 ? given : undefined);
    bench.server("a").behaviour = answer(status_);
    for (let count = 0; count < 2; count++) await bench.pool.execute(GET);
    return status(bench);
  };

  test("are those of the configured codes", async () => {
    expect(await run([403], 403)).toBe("unhealthy");
    expect(await run([403], 404)).toBe("healthy");
    expect(await run([], 403)).toBe("healthy");
  });

  test("speak about their resource alone, as other failures do", async () => {
    const bench = await openBench({
      ...OPTIONS,
      health: { rejections: 1, failures: 1, rejectionCodes: new Set([403]) },
    });
    bench.transport.refusal = ({ status: given }) => (given >= 400 ? given : undefined);
    bench.server("a").behaviour = failingMount("mount", answer(403));
    for (let count = 0; count < 3; count++) await bench.pool.execute(of("mount"));
    expect(await status(bench)).not.toBe("unhealthy");
  });
});
