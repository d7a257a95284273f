import { describe, expect, test } from "vitest";
import type { Connection } from "../contracts/connection.ts";
import type { Wire } from "../contracts/wire.ts";
import { flush } from "../testing/pool-bench.test-support.ts";
import { createManualClock } from "../time/manual-clock.ts";
import { Connections } from "./connections.ts";
import { SHARED, type Partition } from "./partition.ts";

/** As a transport names them: one for each session. */
const session = (name: string): Partition => ({ key: `:${name}`, name, principal: name });
const of = (principal: string): Partition => ({ key: `0:${principal}`, name: "", principal });

/** Connections that say when they are closed. */
function bench(keeping = { most: 3, idle: 1_000 }) {
  const clock = createManualClock();
  const opened: string[] = [];
  const closed: string[] = [];
  let problem: Error | undefined;
  let closing: Promise<void> | undefined;
  const lasting = new Set<string>();
  const connections = new Connections<Wire>(
    ({ principal = "" }) => {
      opened.push(principal);
      if (problem) return Promise.reject(problem);
      return Promise.resolve({
        get lasting() {
          return lasting.has(principal);
        },
        [Symbol.asyncDispose]: async () => {
          closed.push(principal);
          await closing;
        },
      } as unknown as Connection<Wire>);
    },
    clock,
    keeping,
  );
  return {
    clock,
    connections,
    opened,
    closed,
    lasting,
    fail: (error?: Error) => (problem = error),
    closeAfter: (promise: Promise<void>) => void (closing = promise),
    /** Uses a partition once. */
    use: async (principal: string) => {
      const kept = connections.take(of(principal));
      await kept.connection;
      connections.giveBack(kept);
      await flush();
    },
  };
}

describe("connections of many partitions", () => {
  test("stay open between two uses", async () => {
    const { use, opened, closed } = bench();
    for (const principal of ["a", "b", "a", "b", "a"]) await use(principal);
    expect([opened, closed]).toEqual([["a", "b"], []]);
  });

  test("make room for others, the least recently used first", async () => {
    const { use, opened, closed } = bench();
    for (const principal of ["a", "b", "c", "a", "d"]) await use(principal);
    expect(closed).toEqual(["b"]);
    await use("b");
    expect(closed).toEqual(["b", "c"]);
    expect(opened).toEqual(["a", "b", "c", "d", "b"]);
  });

  test("are not closed while they are used, however many there are", async () => {
    const { connections, closed } = bench();
    const used = ["a", "b", "c", "d", "e"].map((principal) => connections.take(of(principal)));
    await flush();
    expect(closed).toEqual([]);
    for (const kept of used) connections.giveBack(kept);
    await flush();
    expect(closed).toEqual(["a", "b"]);
  });

  test("are closed when nobody has used them for some time, by one timer for all", async () => {
    const { use, clock, closed } = bench({ most: 100, idle: 1_000 });
    await use("a");
    clock.advance(500);
    for (const principal of ["b", "c", "d"]) await use(principal);
    expect(clock.pending).toBe(1);
    clock.advance(499);
    expect(closed).toEqual([]);
    clock.advance(1);
    await flush();
    expect(closed).toEqual(["a"]);
    await use("b");
    clock.advance(500);
    await flush();
    expect(closed).toEqual(["a", "c", "d"]);
    clock.advance(500);
    await flush();
    expect(closed).toEqual(["a", "c", "d", "b"]);
    expect(clock.pending).toBe(0);
  });

  test("are not timed while they are used", async () => {
    const { connections, clock, closed, use } = bench();
    await use("a");
    const kept = connections.take(of("a"));
    clock.advance(5_000);
    await flush();
    expect(closed).toEqual([]);
    connections.giveBack(kept);
    clock.advance(1_000);
    await flush();
    expect(closed).toEqual(["a"]);
  });

  test("do not count the shared one, which health checks need", async () => {
    const { connections, clock, closed, use } = bench({ most: 1, idle: 1_000 });
    const shared = connections.take(SHARED);
    await shared.connection;
    connections.giveBack(shared);
    for (const principal of ["a", "b"]) await use(principal);
    clock.advance(10_000);
    await flush();
    expect(closed.toSorted()).toEqual(["a", "b"]);
  });

  test("that only open are closed when they are open", async () => {
    const { connections, clock, closed } = bench();
    connections.giveBack(connections.take(of("a")));
    clock.advance(1_000);
    await flush();
    expect(closed).toEqual(["a"]);
  });

  test("that failed to open are opened anew, and are none that could be closed", async () => {
    const { connections, fail, use, opened, clock } = bench();
    fail(new Error("no such secret"));
    const [one, other] = [connections.take(of("a")), connections.take(of("a"))];
    await expect(one.connection).rejects.toThrow("no such secret");
    connections.giveBack(one);
    connections.giveBack(other);
    fail();
    await use("a");
    expect([opened, clock.pending]).toEqual([["a", "a"], 1]);
  });

  test("count until they are closed, and the whole is closed with them", async () => {
    const { connections, use, closeAfter, closed, clock } = bench();
    const { promise, resolve } = Promise.withResolvers<void>();
    closeAfter(promise);
    await use("a");
    clock.advance(1_000);
    await use("b");
    expect([...connections]).toHaveLength(2);
    const closing = connections.close();
    let done = false;
    void closing.then(() => (done = true));
    await flush();
    expect([done, closed, clock.pending]).toEqual([false, ["a", "b"], 0]);
    resolve();
    await closing;
    expect([...connections]).toEqual([]);
    await expect(connections.take(of("a")).connection).rejects.toThrow("the server has left the pool");
  });
});

describe("connections that hold a state", () => {
  test("stay open however long nobody uses them, and however many there are", async () => {
    const { use, clock, closed, lasting } = bench({ most: 2, idle: 1_000 });
    for (const principal of ["a", "b", "c", "d"]) {
      lasting.add(principal);
      await use(principal);
    }
    for (const principal of ["e", "f", "g"]) await use(principal);
    expect(closed).toEqual(["e"]);
    clock.advance(10_000);
    await flush();
    expect(closed).toEqual(["e", "f", "g"]);
    clock.advance(10_000);
    await flush();
    expect(closed).toEqual(["e", "f", "g"]);
  });

  test("are as good as others once they hold none any more", async () => {
    const { use, clock, closed, lasting } = bench();
    lasting.add("a");
    await use("a");
    clock.advance(5_000);
    lasting.delete("a");
    clock.advance(1_000);
    await flush();
    expect(closed).toEqual([]);
    clock.advance(1_000);
    await flush();
    expect([closed, clock.pending]).toEqual([["a"], 0]);
  });

  test("stay also when they have come to hold it while nobody used them", async () => {
    const { use, clock, closed, lasting } = bench();
    await use("a");
    lasting.add("a");
    clock.advance(5_000);
    await flush();
    expect(closed).toEqual([]);
  });

  test("are closed when they are released, once their attempts have ended", async () => {
    const { connections, closed, opened, lasting } = bench();
    for (const name of ["a", "b"]) lasting.add(name);
    const [one, other, theirs] = ["a", "a", "b"].map((name) => connections.take(session(name)));
    await flush();
    let done = false;
    const released = connections.release("a", "a").then(() => (done = true));
    await flush();
    connections.giveBack(one as never);
    await flush();
    expect([closed, done]).toEqual([[], false]);
    connections.giveBack(other as never);
    await released;
    expect(closed).toEqual(["a"]);
    await connections.release("a", "a");
    connections.giveBack(theirs as never);
    expect([opened, closed]).toEqual([["a", "b"], ["a"]]);
  });

  test("are released by nobody else's name, and not where the transport keeps nobody apart", async () => {
    const { use, connections, closed } = bench();
    await use("a");
    const kept = connections.take(session("s"));
    await kept.connection;
    connections.giveBack(kept);
    await connections.release("s", "another");
    await connections.release("other", "s");
    expect(closed).toEqual([]);
    await connections.release("s", "s");
    expect(closed).toEqual(["s"]);
  });

  test("that are in use are closed with the whole, and the release ends", async () => {
    const { connections, closed } = bench();
    const kept = connections.take(session("s"));
    await kept.connection;
    const released = connections.release("s", "s");
    await connections.close();
    connections.giveBack(kept);
    await released;
    expect(closed).toEqual(["s"]);
  });
});
