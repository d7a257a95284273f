import { createManualClock } from "@davpool/core";
import { describe, expect, test } from "vitest";
import type { McpHttpServer } from "@davpool/testkit";
import type { Answers } from "./aggregate.ts";
import { meaningOf } from "./canonical.ts";
import { NoAnswerError, NoMajorityError } from "./errors.ts";
import { codeOf, failureOf, openBench } from "./testing/bench.test-support.ts";
import { textOf } from "./testing/replicas.test-support.ts";
import type { Results } from "./requests.ts";

/** `server: text`, or `server! code` of what went wrong. */
function shown({ answers }: Answers<Results["tool_call"]>): readonly string[] {
  return answers.map((answer) =>
    answer.ok
      ? `${answer.serverId}: ${textOf(answer.result)}`
      : `${answer.serverId}! ${(answer.error as { code?: string }).code}`,
  );
}

const three = [{}, {}, {}] as const;
const read = { name: "read", arguments: { n: 1 } };

describe("all", () => {
  test("gives every server's answer beside its id, and what went wrong with those that gave none", async () => {
    await using bench = await openBench({ maxRetries: 0 }, three);
    const { pool, servers } = bench;
    await servers[1]?.stop();
    const all = await pool.broadcast("tool_call", read);
    expect(shown(all)).toEqual(['s1: s1 read {"n":1}', "s2! NO_SERVER_AVAILABLE", 's3: s3 read {"n":1}']);
    expect(all.from).toEqual(["s1", "s3"]);
  });

  test("has a tool that changes something carried out by every server, once", async () => {
    await using bench = await openBench({}, three);
    const { pool, servers } = bench;
    const all = await pool.broadcast("tool_call", { name: "add", arguments: { n: 1 } }, { quorum: 2 });
    expect(all.from).toEqual(["s1", "s2", "s3"]);
    expect(all.quorum).toEqual({ required: 2, succeeded: 3, met: true });
    expect(servers.map((server) => server.log.of("add").length)).toEqual([1, 1, 1]);
  });

  test("wants a quorum that there can be", async () => {
    await using bench = await openBench();
    for (const quorum of [0, 3, 1.5, Number.NaN])
      await expect(bench.pool.broadcast("tool_call", read, { quorum })).rejects.toThrow(
        `A quorum of 2 servers is a whole number from 1 to that; this is ${quorum}.`,
      );
    expect(bench.one.calls).toEqual([]);
  });

  test("counts a result with isError as an answer, and not as a success", async () => {
    await using bench = await openBench({}, [{}, { tools: [{ name: "read", isError: true, text: "no" }] }]);
    const all = await bench.pool.broadcast("tool_call", read, { quorum: 2 });
    expect(shown(all)).toEqual(['s1: s1 read {"n":1}', "s2: no"]);
    expect([all.from, all.quorum]).toEqual([["s1"], { required: 2, succeeded: 1, met: false }]);
  });

  test("asks those that have the tool, a group, or the servers it is given in their order", async () => {
    await using bench = await openBench({}, [{}, { tools: [{ name: "other" }] }, {}]);
    const { pool, servers } = bench;
    await pool.listTools();
    expect((await pool.broadcast("tool_call", read)).from).toEqual(["s1", "s3"]);
    expect((await pool.broadcast("tool_call", read, { serverIds: ["s3", "s1"] })).from).toEqual(["s3", "s1"]);
    await pool.addServer({ serverId: "s4", url: (servers[0] as McpHttpServer).url, group: "near" });
    expect((await pool.broadcast("tool_call", read, { serverGroup: "near" })).from).toEqual(["s4"]);
    expect(await failureOf(pool.broadcast("tool_call", read, { serverGroup: "far" }))).toMatchObject({
      code: "UNKNOWN_GROUP",
      message: expect.stringContaining("near") as string,
    });
    expect(await codeOf(pool.broadcast("tool_call", read, { serverIds: ["s9"] }))).toBe("UNKNOWN_SERVER");
    expect(await codeOf(pool.broadcast("tool_call", { name: "red" }))).toBe("UNKNOWN_TOOL");
  });

  test("takes resources and prompts as well", async () => {
    await using bench = await openBench();
    const reads = await bench.pool.broadcast("resource_read", { uri: "test://none" });
    expect(reads.answers).toMatchObject([
      { ok: true, result: { contents: [{ text: "s1 test://none" }] } },
      { ok: true, result: { contents: [{ text: "s2 test://none" }] } },
    ]);
    const greeting = await bench.pool.broadcast("prompt_get", { name: "greet" }, { aggregate: "first" });
    expect(greeting.result.messages[0]?.content).toMatchObject({ text: "s1 greets" });
  });
});

describe("first", () => {
  test("is the first success in the order of the servers, whoever is faster", async () => {
    await using bench = await openBench();
    const { pool, one, two } = bench;
    await pool.listTools();
    const hang = one.inject({ kind: "hang", on: "call" });
    const work = pool.broadcast("tool_call", read, { aggregate: "first" });
    await two.log.received("read");
    hang.off();
    const { result, from } = await work;
    expect([textOf(result), from]).toEqual(['s1 read {"n":1}', ["s1"]]);
    const other = await pool.broadcast("tool_call", read, { aggregate: "first", serverIds: ["s2", "s1"] });
    expect(other.from).toEqual(["s2"]);
  });

  test("passes over failures and results with isError, unless nobody does better", async () => {
    const wrong = { name: "read", annotations: { readOnlyHint: true }, isError: true, text: "wrong" };
    await using bench = await openBench({ maxRetries: 0 }, [{}, { tools: [wrong] }, {}]);
    const { pool, one } = bench;
    await pool.listTools();
    await one.stop();
    const { result, from } = await pool.broadcast("tool_call", read, { aggregate: "first" });
    expect([textOf(result), from]).toEqual(['s3 read {"n":1}', ["s3"]]);
    const least = await pool.broadcast("tool_call", read, { aggregate: "first", serverIds: ["s1", "s2"] });
    expect([least.result, least.from]).toMatchObject([{ isError: true }, ["s2"]]);
  });
});

describe("fastest", () => {
  test("is the first result to arrive; the others are told that nobody waits for theirs", async () => {
    await using bench = await openBench({}, [{ era: "legacy" }, { era: "legacy" }, { era: "legacy" }]);
    const { pool, servers, one, two } = bench;
    await pool.listTools();
    for (const server of [one, two]) server.inject({ kind: "hang", on: "call" });
    const { result, from } = await pool.broadcast("tool_call", read, { aggregate: "fastest" });
    expect([textOf(result), from]).toEqual(['s3 read {"n":1}', ["s3"]]);
    await Promise.all([one, two].map((server) => server.log.received("notifications/cancelled")));
    expect(servers.map((server) => server.log.of("notifications/cancelled").length)).toEqual([1, 1, 0]);
    // Whoever was cancelled has not failed.
    expect(pool.getServers().map(({ stats }) => stats.successRate)).toEqual([100, 100, 100]);
    for (const server of servers) server.clearFaults();
  });

  test("waits for another one where the first to answer has no result", async () => {
    await using bench = await openBench({ maxRetries: 0 });
    const { pool, one, two } = bench;
    await pool.listTools();
    one.inject({ kind: "status", status: 403 });
    const hang = two.inject({ kind: "hang", on: "call" });
    const work = pool.broadcast("tool_call", read, { aggregate: "fastest" });
    await two.log.received("read");
    hang.off();
    const { from, answers } = await work;
    expect([from, answers.length]).toEqual([["s2"], 2]);
    two.inject({ kind: "error", code: -32_602, message: "no such file" });
    const failure = (await failureOf(pool.broadcast("tool_call", read, { aggregate: "fastest" }))) as NoAnswerError;
    expect(failure).toBeInstanceOf(NoAnswerError);
    expect(failure.message).toContain("None of 2 servers has answered tools/call with a result. s1: ");
    expect(failure.answers).toMatchObject([{ serverId: "s1", ok: false }, { error: { rpcCode: -32_602 } }]);
  });
});

test.each(["first", "fastest"] as const)("%s waits for every server where a tool may change something", async (way) => {
  await using bench = await openBench();
  const { pool, one, two } = bench;
  await pool.listTools();
  const hang = two.inject({ kind: "hang", on: "call" });
  const work = pool.broadcast("tool_call", { name: "add" }, { aggregate: way });
  await two.log.received("tools/call");
  await one.log.received("tools/call");
  hang.off();
  const { from, answers } = await work;
  expect([from, answers.map(({ ok }) => ok)]).toEqual([["s1"], [true, true]]);
  expect(two.log.of("notifications/cancelled")).toEqual([]);
  expect([one.calls.length, two.calls.length]).toEqual([1, 1]);
  expect(await codeOf(pool.broadcast("tool_call", { name: "red" }, { aggregate: way }))).toBe("UNKNOWN_TOOL");
});

describe("majority", () => {
  const says = (text: string) => ({ tools: [{ name: "read", text, annotations: { readOnlyHint: true } }] });

  test("is what more than half of the servers say, with the names of those that say otherwise", async () => {
    await using bench = await openBench({}, [says("1"), says("2"), says("1")]);
    const { result, from, dissenters, answers } = await bench.pool.broadcast("tool_call", read, {
      aggregate: "majority",
    });
    expect([textOf(result), from, dissenters]).toEqual(["1", ["s1", "s3"], ["s2"]]);
    expect(answers).toHaveLength(3);
  });

  test("counts servers that are down among those asked, and not among the dissenters", async () => {
    await using bench = await openBench({ maxRetries: 0 }, [says("1"), says("1"), says("1"), says("2")]);
    const { pool, one, two } = bench;
    await pool.listTools();
    one.inject({ kind: "status", status: 403 });
    const agreed = await pool.broadcast("tool_call", read, { aggregate: "majority", serverIds: ["s1", "s2", "s3"] });
    expect([agreed.from, agreed.dissenters]).toEqual([["s2", "s3"], []]);
    await two.stop();
    const failure = (await failureOf(pool.broadcast("tool_call", read, { aggregate: "majority" }))) as NoMajorityError;
    expect(failure).toBeInstanceOf(NoMajorityError);
    expect(failure.message).toMatch(
      /^More than half of 4 servers must agree on tools\/call, and do not: s3 against s4; s1: .*; s2: /,
    );
    expect(failure.details["voices"]).toEqual([["s3"], ["s4"]]);
  });

  test("may be that it is an error of the tool, and never that it is one of the protocol", async () => {
    const fails = { tools: [{ name: "read", text: "no", isError: true }] };
    await using bench = await openBench({}, [fails, fails, says("1")]);
    const { pool, servers } = bench;
    const agreed = await pool.broadcast("tool_call", read, { aggregate: "majority" });
    expect([agreed.result.isError, agreed.dissenters]).toEqual([true, ["s3"]]);
    for (const server of servers.slice(0, 2)) server.inject({ kind: "error", code: -1, message: "no" });
    expect(await codeOf(pool.broadcast("tool_call", read, { aggregate: "majority" }))).toBe("NO_MAJORITY");
  });

  test("compares what results mean: neither the order of keys counts, nor _meta, nor the era", () => {
    const one = {
      content: [{ type: "text", text: "a", _meta: { at: 1 } }],
      structuredContent: { a: 1, b: [{ c: 2, d: 3 }] },
    };
    const same = {
      _meta: { server: "other" },
      resultType: "complete",
      ttlMs: 0,
      structuredContent: { b: [{ d: 3, c: 2 }], a: 1 },
      content: [{ text: "a", type: "text" }],
    };
    expect(meaningOf(same)).toBe(meaningOf(one));
    expect(meaningOf({ ...same, isError: true })).not.toBe(meaningOf(one));
    expect(meaningOf({ ...same, structuredContent: { b: [{ d: 3, c: 2 }], a: 1, _meta: 1 } })).not.toBe(meaningOf(one));
    expect(meaningOf({ content: [1, 2] })).not.toBe(meaningOf({ content: [2, 1] }));
  });
});

test("a broadcast ends with its caller, and within its time", async () => {
  const clock = createManualClock();
  await using bench = await openBench({ clock, maxRetries: 0 });
  const { pool, one, two } = bench;
  await pool.listTools();
  for (const server of [one, two]) server.inject({ kind: "hang", on: "call" });
  const abort = new AbortController();
  const end = codeOf(pool.broadcast("tool_call", read, { signal: abort.signal }));
  await Promise.all([one.log.received("read"), two.log.received("read")]);
  abort.abort();
  expect(await end).toBe("CANCELLED");
  const late = pool.broadcast("tool_call", { name: "add" }, { timeout: 50 });
  await Promise.all([one.log.received("add"), two.log.received("add")]);
  clock.advance(50);
  expect(shown(await late)).toEqual(["s1! OUTCOME_UNKNOWN", "s2! OUTCOME_UNKNOWN"]);
  for (const server of [one, two]) server.clearFaults();
});

test("a server that does not say what it has is asked all the same, and holds up the others for half of the time", async () => {
  const clock = createManualClock();
  await using bench = await openBench({ clock, maxRetries: 0 }, [{}, { faults: [{ kind: "hang", on: "initialize" }] }]);
  const { pool, one, two } = bench;
  const work = pool.broadcast("tool_call", read, { timeout: 1_000 });
  await one.log.received("tools/list");
  clock.advance(500);
  await one.log.received("read");
  // Its answer is here.
  while (pool.getServers()[0]?.activeTasks !== 0) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(500);
  expect(shown(await work)).toEqual(['s1: s1 read {"n":1}', "s2! DEADLINE_EXCEEDED"]);
  two.clearFaults();
});

test("a pool without servers has nobody to ask", async () => {
  await using bench = await openBench({}, []);
  expect(await codeOf(bench.pool.broadcast("tool_call", read))).toBe("NO_SERVER_AVAILABLE");
});
