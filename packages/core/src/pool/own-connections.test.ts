import { describe, expect, test } from "vitest";
import { NoCredentialsError } from "../errors/call-errors.ts";
import { GET, POST, flush, openBench, recordingLog, type BenchOptions } from "../testing/pool-bench.test-support.ts";
import { ScriptedTransport, answer, hang, refuse } from "../testing/scripted-transport.test-support.ts";
import { ReplaceablePool } from "./replaceable-pool.ts";

/* A transport that keeps sessions apart: each has a connection of its own, on one server. */

const A = { session: "a" };
const B = { session: "b" };

/** The selector takes whatever was taken least often, as strategies that balance do. */
async function sessions(options: BenchOptions = {}) {
  const transport = new ScriptedTransport();
  transport.partition = (_profile, caller) => caller.session ?? "";
  const taken = new Map<string, number>();
  const bench = await openBench({
    servers: ["a", "b", "c"],
    selector: {
      select: (candidates) => {
        const count = ({ serverId }: { serverId: string }) => taken.get(serverId) ?? 0;
        const chosen = candidates.toSorted((one, other) => count(one) - count(other))[0] ?? candidates[0];
        taken.set(chosen.serverId, count(chosen) + 1);
        return chosen;
      },
    },
    ...options,
    transport,
  });
  const ask = async (caller: object, request = GET) => (await bench.pool.execute(request, { caller })).serverId;
  return { ...bench, ask };
}

describe("a caller with a connection of its own", () => {
  test("stays with its server, and others go where the strategy sends them", async () => {
    const { ask } = await sessions();
    expect([await ask(A), await ask(B), await ask({}), await ask({})]).toEqual(["a", "b", "c", "a"]);
    expect([await ask(A), await ask(B), await ask(A), await ask(B)]).toEqual(["a", "b", "a", "b"]);
    expect(await ask({ session: "c" })).toBe("b");
  });

  test("stays from its first call on, also with those that come before it is answered", async () => {
    const { pool, server, ask, advance } = await sessions();
    server("a").connect = () => flush();
    const both = [pool.execute(GET, { caller: A }), pool.execute(POST, { caller: A }), ask(A)];
    await advance(100);
    expect((await Promise.all(both)).map((one) => (typeof one === "string" ? one : one.serverId))).toEqual([
      "a",
      "a",
      "a",
    ]);
    expect(server("a").opened).toBe(1);
  });

  test("waits for a slot of its server while others have some", async () => {
    const { pool, server, ask, advance } = await sessions({ servers: [{ serverId: "a", maxConnections: 1 }, "b"] });
    expect(await ask(A)).toBe("a");
    server("a").behaviour = hang;
    const stop = new AbortController();
    const blocking = pool.execute(GET, { caller: A, signal: stop.signal });
    blocking.catch(() => {});
    await advance(10);
    const waiting = ask(A);
    await advance(50);
    server("a").behaviour = answer();
    stop.abort();
    await advance(10);
    expect(await waiting).toBe("a");
  });

  test("goes elsewhere when its server cannot be asked, and stays there when that has recovered", async () => {
    const { ask, server, advance, pool } = await sessions({ health: { failures: 1 } });
    expect(await ask(A)).toBe("a");
    server("a").behaviour = refuse;
    expect(await ask(A)).toBe("b");
    server("a").behaviour = answer();
    await advance(60_000, 1_000);
    for (let trial = 0; trial < 2; trial++) await pool.execute(GET, { serverId: "a" });
    expect(pool.list()[0]?.health.status).toBe("healthy");
    expect([await ask(A), await ask(A)]).toEqual(["b", "b"]);
  });

  test("stays within its server's tier when a better one is back", async () => {
    const { ask, pool } = await sessions({
      servers: [
        { serverId: "a", enabled: false },
        { serverId: "b", priority: 2 },
      ],
    });
    expect(await ask(A)).toBe("b");
    await pool.update("a", { enabled: true });
    expect([await ask(A), await ask(B), await ask({})]).toEqual(["b", "a", "a"]);
  });

  test("goes where a name, a lock or the rule for writes leads", async () => {
    const { pool, ask } = await sessions({ writes: "primary" });
    await ask({});
    expect(await ask(A)).toBe("b");
    expect(await ask(A, POST)).toBe("a");
    expect((await pool.execute(GET, { caller: A, serverId: "c" })).serverId).toBe("c");
    await ask(B);
    expect([await ask(A), await ask(A, POST)]).toEqual(["a", "a"]);
  });

  test("does not stay with a server that cannot take the request", async () => {
    const { ask, transport } = await sessions();
    expect(await ask(A)).toBe("a");
    transport.serves = ({ serverId }) => serverId !== "a";
    expect(await ask(A)).toBe("b");
  });

  test("does not stay where it may not ask", async () => {
    let denied = "";
    const { ask } = await sessions({
      credentials: {
        credentials: () => Promise.resolve(undefined),
        partition: ({ serverId }, principal = "") => {
          if (serverId === denied) throw new NoCredentialsError("files", serverId, principal, "none");
          return "";
        },
      },
    });
    expect(await ask(A)).toBe("a");
    denied = "a";
    expect(await ask(A)).toBe("b");
  });
});

test("callers whom only their credentials keep apart stay nowhere", async () => {
  const turn = ["a", "b", "c"];
  const bench = await openBench({
    selector: { select: (candidates) => candidates.find(({ serverId }) => serverId === turn[0]) ?? candidates[0] },
    credentials: { credentials: () => Promise.resolve(undefined), partition: (_profile, principal = "") => principal },
  });
  const given: string[] = [];
  while (turn.length > 0) {
    given.push((await bench.pool.execute(GET, { caller: { principal: "alice" } })).serverId);
    turn.shift();
  }
  expect(given).toEqual(["a", "b", "c"]);
  await bench.pool.release({ principal: "alice" });
  expect(["a", "b", "c"].map((serverId) => bench.server(serverId).closed)).toEqual([0, 0, 0]);
});

describe("releasing a caller", () => {
  test("ends its connections on all servers once its attempts have ended, and nobody else's", async () => {
    const { pool, ask, server, advance } = await sessions();
    await ask(A);
    await ask(B);
    await pool.execute(GET, { caller: A, serverId: "b" });
    server("a").behaviour = hang;
    const stop = new AbortController();
    const call = pool.execute(POST, { caller: A, signal: stop.signal });
    call.catch(() => {});
    await advance(10);
    expect(server("a").sent).toHaveLength(2);
    let done = false;
    const released = pool.release(A).then(() => (done = true));
    await flush();
    expect([server("a").closed, server("b").closed, done]).toEqual([0, 1, false]);
    stop.abort();
    await released;
    expect([server("a").closed, server("b").closed]).toEqual([1, 1]);
    server("a").behaviour = answer();
    expect(await ask(B)).toBe("b");
    expect(server("b").opened).toBe(2);
  });

  test("of whom nobody knows has no effect", async () => {
    const { pool, ask, server } = await sessions();
    await ask({});
    await pool.release({ session: "nobody" });
    await pool.release({});
    expect(server("a").closed).toBe(0);
    await pool.close();
    await pool.release(A);
  });

  test("reaches the engine that only ends what it had begun", async () => {
    const [former, next] = [await sessions(), await sessions()];
    const front = new ReplaceablePool(former.pool, recordingLog().log);
    former.server("a").behaviour = hang;
    const stop = new AbortController();
    const call = front.execute(GET, { caller: A, signal: stop.signal });
    call.catch(() => {});
    await flush();
    front.replace(next.pool);
    const retired = front.retire(former.pool);
    expect((await front.execute(GET, { caller: A })).serverId).toBe("a");
    let done = false;
    const released = front.release(A).then(() => (done = true));
    await flush();
    expect([former.server("a").closed, next.server("a").closed, done]).toEqual([0, 1, false]);
    stop.abort();
    await released;
    expect(former.server("a").closed).toBe(1);
    await retired;
  });

  test("leaves connections that hold a state as the only ones that nobody closes before", async () => {
    const { pool, ask, server, clock } = await sessions();
    server("a").lasting = true;
    await ask(A);
    await ask(B);
    clock.advance(1_000_000);
    await flush();
    expect([server("a").closed, server("b").closed]).toEqual([0, 1]);
    await pool.release(A);
    expect(server("a").closed).toBe(1);
  });
});
