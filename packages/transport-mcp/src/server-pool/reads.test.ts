import { createManualClock } from "@davpool/core";
import { describe, expect, test } from "vitest";
import type { McpServerPoolOptions } from "./options.ts";
import { Reads } from "./reads.ts";
import { McpServerPool } from "./server-pool.ts";
import { codeOf, failureOf, openBench } from "./testing/bench.test-support.ts";
import { textOf } from "./testing/replicas.test-support.ts";
import type { TaskOptions } from "./work-queue/task.ts";

interface Sent {
  readonly name: string;
  readonly options: TaskOptions;
  readonly answer: (result?: object) => void;
  readonly fail: (error: Error) => void;
}

/** Reads before a sender that answers when the test says so. Tools named `add…` change something. */
function bench(options: Pick<McpServerPoolOptions, "batch" | "cache">) {
  const clock = createManualClock();
  const sent: Sent[] = [];
  const reads = new Reads({
    options,
    clock,
    isReadOnly: (_type, payload) => Promise.resolve(!("name" in payload && payload.name.startsWith("add"))),
    send: (_type, payload, given) =>
      new Promise((resolve, reject) => {
        const name = "uri" in payload ? payload.uri : payload.name;
        const answer = (result: object = { content: [] }) => resolve(result as never);
        sent.push({ name, options: given, answer, fail: reject });
      }),
  });
  return {
    clock,
    reads,
    sent,
    names: () => sent.map(({ name }) => name),
    call: (name: string, args: object = {}, given: TaskOptions = {}) =>
      reads.request("tool_call", { name, arguments: { ...args } }, given),
    read: (uri: string) => reads.request("resource_read", { uri }, {}),
  };
}

/** All that is due in this turn has happened. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

const endOf = (work: Promise<unknown>) =>
  work.then(
    () => "answered",
    (error: Error) => error.message,
  );

describe("a cache", () => {
  test("answers what was asked before, in whatever order the arguments stand, until the answer is too old", async () => {
    const { call, names, sent, clock, reads } = bench({ cache: { ttl: 1_000 } });
    const first = call("get", { a: 1, b: { c: 2, d: 3 } });
    await settled();
    sent[0]?.answer({ content: [{ type: "text", text: "1" }] });
    expect(await first).toEqual({ content: [{ type: "text", text: "1" }] });
    clock.advance(999);
    expect(await call("get", { b: { d: 3, c: 2 }, a: 1 })).toEqual(await first);
    expect(names()).toEqual(["get"]);
    void call("get", { a: 2 });
    clock.advance(1);
    void call("get", { a: 1, b: { c: 2, d: 3 } });
    await settled();
    expect(names()).toEqual(["get", "get", "get"]);
    expect(reads.stats).toEqual({ cache: { entries: 0, hits: 1, misses: 3 } });
  });

  test("sends what many ask for at one time once, and gives each a copy of the answer", async () => {
    const { call, names, sent } = bench({ cache: { ttl: 1_000 } });
    const calls = [call("get"), call("get"), call("get")];
    await settled();
    expect(names()).toEqual(["get"]);
    sent[0]?.answer({ content: [] });
    const [one, two] = await Promise.all(calls);
    one?.content.push({ type: "text", text: "mine" });
    expect(two?.content).toEqual([]);
    expect((await call("get")).content).toEqual([]);
  });

  test.each([
    ["a result with isError", (sent: Sent | undefined) => sent?.answer({ content: [], isError: true })],
    ["a question for more input", (sent: Sent | undefined) => sent?.answer({ resultType: "input_required" })],
    ["an error", (sent: Sent | undefined) => sent?.fail(new Error("no"))],
  ])("keeps no answer that is %s", async (_what, end) => {
    const { call, names, sent } = bench({ cache: { ttl: 1_000 } });
    const first = endOf(call("get"));
    await settled();
    end(sent[0]);
    await first;
    void call("get");
    await settled();
    expect(names()).toEqual(["get", "get"]);
  });

  test("has nothing to do with what changes something, and with tasks that somebody follows", async () => {
    const { call, names } = bench({ cache: { ttl: 1_000 } });
    for (let twice = 0; twice < 2; twice++) {
      void call("add");
      void call("get", {}, { taskId: `task-${twice}` });
      void call("get", {}, { onProgress: () => {} });
    }
    await settled();
    expect(names().toSorted()).toEqual(["add", "add", "get", "get", "get", "get"]);
  });

  test("forgets the answer that was not used for longest when there are too many", async () => {
    const { read, names, sent } = bench({ cache: { ttl: 1_000, maxEntries: 2 } });
    const ask = async (uri: string) => {
      const answer = read(uri);
      await settled();
      sent.at(-1)?.answer({ contents: [] });
      await answer;
    };
    for (const uri of ["a", "b", "a", "c", "a", "b"]) await ask(uri);
    expect(names()).toEqual(["a", "b", "c", "b"]);
  });

  test("forgets what a server says has changed, also what is under way", async () => {
    const { call, read, names, sent, reads } = bench({ cache: { ttl: 1_000 } });
    const kept = [read("a"), read("b"), call("get")];
    await settled();
    for (const one of sent) one.answer({ content: [] });
    await Promise.all(kept);
    reads.heard("notifications/resources/updated", { uri: "a" });
    reads.heard("notifications/message", {});
    await Promise.all([read("b"), call("get")]);
    const old = read("a");
    await settled();
    expect(names()).toEqual(["a", "b", "get", "a"]);
    reads.heard("notifications/resources/updated", { uri: "a" });
    const fresh = read("a");
    await settled();
    sent[3]?.answer({ contents: [{ text: "old" }] });
    sent[4]?.answer({ contents: [{ text: "new" }] });
    expect(await Promise.all([old, fresh])).toEqual([{ contents: [{ text: "old" }] }, { contents: [{ text: "new" }] }]);
    expect(await read("a")).toEqual({ contents: [{ text: "new" }] });
    reads.heard("notifications/tools/list_changed", undefined);
    void call("get");
    await settled();
    expect(names()).toEqual(["a", "b", "get", "a", "a", "get"]);
  });

  test("cancels a request once all who wait for it have gone, and begins anew for whoever comes then", async () => {
    const { call, sent } = bench({ cache: { ttl: 1_000 } });
    const [one, two] = [new AbortController(), new AbortController()];
    const ends = [one, two].map(({ signal }) => endOf(call("get", {}, { signal })));
    await settled();
    one.abort();
    expect(await ends[0]).toBe("tools/call was cancelled by its caller.");
    expect(sent[0]?.options.signal?.aborted).toBe(false);
    two.abort();
    await ends[1];
    expect(sent[0]?.options.signal?.aborted).toBe(true);
    const again = call("get");
    await settled();
    sent[1]?.answer();
    await again;
    expect(sent).toHaveLength(2);
  });
});

describe("a batch", () => {
  test("leaves when its time is up, with what is of one kind, and identical requests once", async () => {
    const { call, read, names, sent, clock, reads } = bench({ batch: { size: 10, delay: 5 } });
    const calls = [call("get", { a: 1 }), call("get", { a: 1 }), call("get", { a: 2 })];
    await settled();
    clock.advance(3);
    void read("a");
    await settled();
    expect([names(), clock.pending]).toEqual([[], 2]);
    clock.advance(2);
    expect(names()).toEqual(["get", "get"]);
    clock.advance(3);
    expect(names()).toEqual(["get", "get", "a"]);
    for (const [index, one] of sent.entries()) one.answer({ content: [], index });
    expect(await Promise.all(calls)).toMatchObject([{ index: 0 }, { index: 0 }, { index: 1 }]);
    expect(reads.stats).toEqual({ batch: { batches: 2, requests: 3 } });
    expect(clock.pending).toBe(0);
  });

  test("leaves at once when it is full, and what follows waits for the next one", async () => {
    const { call, names, clock } = bench({ batch: { size: 2, delay: 5 } });
    for (const a of [1, 2, 3]) void call("get", { a });
    await settled();
    expect([names().length, clock.pending]).toEqual([2, 1]);
    clock.advance(5);
    expect(names()).toHaveLength(3);
  });

  test("is joined until it leaves and not after, so that no answer is older than its question", async () => {
    const { call, names, clock } = bench({ batch: { size: 10, delay: 5 } });
    void call("get");
    await settled();
    clock.advance(5);
    void call("get");
    await settled();
    clock.advance(5);
    expect(names()).toEqual(["get", "get"]);
  });

  test("holds nothing back that changes something, and sends nothing that nobody waits for", async () => {
    const { call, names, clock } = bench({ batch: { size: 10, delay: 5 } });
    const abort = new AbortController();
    const end = endOf(call("get", {}, { signal: abort.signal }));
    void call("add");
    await settled();
    expect(names()).toEqual(["add"]);
    abort.abort();
    await end;
    clock.advance(5);
    expect(names()).toEqual(["add"]);
  });
});

describe("a pool", () => {
  test("with a cache asks once for calls, resources, prompts and lists, until a server says that they have changed", async () => {
    const clock = createManualClock();
    await using open = await openBench({ clock, cache: { ttl: 60_000 } }, [{ era: "legacy" }]);
    const { pool, one } = open;
    const ask = async () => {
      await pool.listTools();
      await pool.callTool("read", { n: 1 });
      await pool.readResource("test://s1");
      await pool.getPrompt("greet");
    };
    const count = () => ["tools/list", "read", "resources/read", "prompts/get"].map((name) => one.log.of(name).length);
    await ask();
    await ask();
    expect(count()).toEqual([1, 1, 1, 1]);
    expect(pool.getStats().cache).toEqual({ entries: 3, hits: 3, misses: 3 });
    expect(pool.queue.getStats().completed).toBe(3);
    const stream = [...one.sessions.values()][0];
    const updated = { jsonrpc: "2.0", method: "notifications/resources/updated", params: { uri: "test://s1" } };
    stream?.write(`event: message\ndata: ${JSON.stringify(updated)}\n\n`);
    one.changeTools([{ name: "read", annotations: { readOnlyHint: true }, text: "new" }]);
    while (textOf(await pool.callTool("read", { n: 1 })) !== "new") await settled();
    await ask();
    expect(count()).toEqual([2, 2, 2, 1]);
    clock.advance(60_000);
    await ask();
    expect(count()).toEqual([3, 3, 3, 2]);
  });

  test("with batches sends what comes together, and has it leave when it is closed", async () => {
    await using open = await openBench({ batch: { size: 10, delay: 60_000 } }, [{}]);
    const { pool, one } = open;
    await pool.listTools();
    const calls = [1, 1, 2].map((n) => pool.callTool("read", { n }));
    const other = await pool.callTool("add", { n: 1 });
    expect([textOf(other), one.log.of("read").length]).toEqual(['s1 add {"n":1}', 0]);
    await pool.close();
    expect((await Promise.all(calls)).map(textOf)).toEqual(['s1 read {"n":1}', 's1 read {"n":1}', 's1 read {"n":2}']);
    expect(one.log.of("read")).toHaveLength(2);
    expect(pool.getStats().batch).toEqual({ batches: 1, requests: 2 });
  });

  test("is told what is wrong with its options, all at once", async () => {
    const failure = await failureOf(
      McpServerPool.open({ cache: { ttl: 0, maxEntries: -1 }, batch: { size: 0, delay: Number.NaN } }),
    );
    expect(failure.code).toBe("INVALID_CONFIG");
    expect(failure.message.split("\n").slice(1)).toEqual([
      "  batch.size: must be a whole number of requests, 1 or more; it is 0.",
      "  batch.delay: must be a whole number of milliseconds, 0 or more; it is NaN.",
      "  cache.ttl: must be a whole number of milliseconds, 1 or more; it is 0.",
      "  cache.maxEntries: must be a whole number of answers, 1 or more; it is -1.",
    ]);
    expect(await codeOf(McpServerPool.open({ batch: { size: 1, delay: 0 } }).then((pool) => pool.close()))).toBe(
      "Error: no error",
    );
  });
});
