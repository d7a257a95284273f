import { describe, expect, test } from "vitest";
import type { Answer } from "../contracts/pool.ts";
import { GET, POST, PUT, openBench, type BenchOptions } from "../testing/pool-bench.test-support.ts";
import {
  answer,
  breakOff,
  hang,
  hangUnsent,
  refuse,
  type Behaviour,
  type ScriptedRequest,
  type ScriptedResponse,
} from "../testing/scripted-transport.test-support.ts";

const ONE_SHOT: ScriptedRequest = { operation: "PUT", repeat: "idempotent", replayable: false };
const requests = { safe: GET, idempotent: PUT, neither: POST, "not replayable": ONE_SHOT };

const faults: Record<string, Behaviour> = {
  refused: refuse,
  "connect timeout": hangUnsent,
  "reset after sending": breakOff,
  "timeout after sending": hang,
  401: answer(401),
  500: answer(500),
  502: answer(502),
  503: answer(503),
  504: answer(504),
};

const setups: Record<string, { options: BenchOptions; serverId?: string }> = {
  "one server": { options: { servers: ["a"] } },
  "three servers": { options: { servers: ["a", "b", "c"] } },
  pinned: { options: { servers: ["a", "b", "c"] }, serverId: "a" },
};

/** What came of it, in one line: the value or the error's code, how often each server was sent it, and the outcomes. */
async function run(
  fault: Behaviour,
  request: ScriptedRequest,
  setup: { options: BenchOptions; serverId?: string },
): Promise<string> {
  const bench = await openBench({ ...setup.options, deadline: 4_000 });
  bench.server("a").behaviour = fault;
  const call = bench.pool.execute(request, setup.serverId === undefined ? {} : { serverId: setup.serverId });
  const settled = call.then(
    (value: Answer<ScriptedResponse>) => ({ text: String(value.value.status), attempts: value.attempts }),
    (error: { code: string; attempts?: Answer<unknown>["attempts"] }) => ({
      text: error.code,
      attempts: error.attempts ?? [],
    }),
  );
  await bench.advance(4_000);
  const { text, attempts } = await settled;
  expect(bench.slots()).toBe(0);
  expect(bench.clock.pending).toBeLessThanOrEqual(2);
  const outcomes = attempts.map((attempt) => `${attempt.serverId} ${attempt.outcome}`);
  return `${text} | ${bench.sent()} | ${outcomes.join(", ")}`;
}

describe("one server", () => {
  const setup = setups["one server"] as { options: BenchOptions };
  const aFailed = "a failed, a failed, a failed, a failed";
  const aUnknown = "a unknown, a unknown, a unknown, a unknown";
  const aAnswered = "a answered, a answered, a answered, a answered";
  test.each([
    ["refused", "safe", `NO_SERVER_AVAILABLE | a:0 | ${aFailed}`],
    ["refused", "idempotent", `NO_SERVER_AVAILABLE | a:0 | ${aFailed}`],
    ["refused", "neither", `NO_SERVER_AVAILABLE | a:0 | ${aFailed}`],
    ["refused", "not replayable", `NO_SERVER_AVAILABLE | a:0 | ${aFailed}`],
    ["connect timeout", "safe", "DEADLINE_EXCEEDED | a:0 | a failed"],
    ["connect timeout", "neither", "DEADLINE_EXCEEDED | a:0 | a failed"],
    ["reset after sending", "safe", `NO_SERVER_AVAILABLE | a:4 | ${aUnknown}`],
    ["reset after sending", "idempotent", `OUTCOME_UNKNOWN | a:4 | ${aUnknown}`],
    ["reset after sending", "neither", "OUTCOME_UNKNOWN | a:1 | a unknown"],
    ["reset after sending", "not replayable", "OUTCOME_UNKNOWN | a:1 | a unknown"],
    ["timeout after sending", "safe", "DEADLINE_EXCEEDED | a:1 | a unknown"],
    ["timeout after sending", "idempotent", "OUTCOME_UNKNOWN | a:1 | a unknown"],
    ["timeout after sending", "neither", "OUTCOME_UNKNOWN | a:1 | a unknown"],
    ["500", "safe", `500 | a:4 | ${aAnswered}`],
    ["500", "neither", "500 | a:1 | a answered"],
    ["502", "idempotent", `502 | a:4 | a unknown, a unknown, a unknown, a answered`],
    ["503", "safe", `503 | a:4 | ${aAnswered}`],
    ["503", "not replayable", "503 | a:1 | a answered"],
    ["504", "neither", "504 | a:1 | a answered"],
    ["401", "safe", "401 | a:1 | a answered"],
  ] as const)("%s, %s: %s", async (fault, kind, expected) => {
    expect(await run(faults[fault] as Behaviour, requests[kind], setup)).toBe(expected);
  });
});

describe("three servers, the first of them failing", () => {
  const setup = setups["three servers"] as { options: BenchOptions };
  test.each([
    ["refused", "safe", "200 | a:0 b:1 c:0 | a failed, b answered"],
    ["refused", "idempotent", "200 | a:0 b:1 c:0 | a failed, b answered"],
    ["refused", "neither", "200 | a:0 b:1 c:0 | a failed, b answered"],
    ["refused", "not replayable", "200 | a:0 b:1 c:0 | a failed, b answered"],
    ["connect timeout", "safe", "200 | a:0 b:1 c:0 | a failed, b answered"],
    ["connect timeout", "idempotent", "200 | a:0 b:1 c:0 | a failed, b answered"],
    ["connect timeout", "neither", "200 | a:0 b:1 c:0 | a failed, b answered"],
    ["connect timeout", "not replayable", "200 | a:0 b:1 c:0 | a failed, b answered"],
    ["reset after sending", "safe", "200 | a:1 b:1 c:0 | a unknown, b answered"],
    ["reset after sending", "idempotent", "200 | a:1 b:1 c:0 | a unknown, b answered"],
    ["reset after sending", "neither", "OUTCOME_UNKNOWN | a:1 b:0 c:0 | a unknown"],
    ["reset after sending", "not replayable", "OUTCOME_UNKNOWN | a:1 b:0 c:0 | a unknown"],
    ["timeout after sending", "safe", "200 | a:1 b:1 c:0 | a unknown, b answered"],
    ["timeout after sending", "idempotent", "200 | a:1 b:1 c:0 | a unknown, b answered"],
    ["timeout after sending", "neither", "OUTCOME_UNKNOWN | a:1 b:0 c:0 | a unknown"],
    ["timeout after sending", "not replayable", "OUTCOME_UNKNOWN | a:1 b:0 c:0 | a unknown"],
    ["500", "safe", "200 | a:1 b:1 c:0 | a answered, b answered"],
    ["502", "idempotent", "200 | a:1 b:1 c:0 | a unknown, b answered"],
    ["502", "safe", "200 | a:1 b:1 c:0 | a answered, b answered"],
    ["502", "neither", "502 | a:1 b:0 c:0 | a answered"],
    ["502", "not replayable", "502 | a:1 b:0 c:0 | a answered"],
    ["503", "safe", "200 | a:1 b:1 c:0 | a answered, b answered"],
    ["503", "neither", "503 | a:1 b:0 c:0 | a answered"],
    ["503", "not replayable", "503 | a:1 b:0 c:0 | a answered"],
    ["504", "idempotent", "200 | a:1 b:1 c:0 | a unknown, b answered"],
    ["401", "safe", "200 | a:1 b:1 c:0 | a answered, b answered"],
    ["401", "idempotent", "200 | a:1 b:1 c:0 | a answered, b answered"],
    ["401", "neither", "200 | a:1 b:1 c:0 | a answered, b answered"],
    ["401", "not replayable", "401 | a:1 b:0 c:0 | a answered"],
  ] as const)("%s, %s: %s", async (fault, kind, expected) => {
    expect(await run(faults[fault] as Behaviour, requests[kind], setup)).toBe(expected);
  });
});

describe("three servers, the call names the failing one", () => {
  const setup = setups.pinned as { options: BenchOptions; serverId: string };
  test.each([
    ["refused", "safe", "NO_SERVER_AVAILABLE | a:0 b:0 c:0 | a failed, a failed, a failed, a failed"],
    ["refused", "neither", "NO_SERVER_AVAILABLE | a:0 b:0 c:0 | a failed, a failed, a failed, a failed"],
    ["reset after sending", "safe", "NO_SERVER_AVAILABLE | a:4 b:0 c:0 | a unknown, a unknown, a unknown, a unknown"],
    ["reset after sending", "idempotent", "OUTCOME_UNKNOWN | a:4 b:0 c:0 | a unknown, a unknown, a unknown, a unknown"],
    ["reset after sending", "neither", "OUTCOME_UNKNOWN | a:1 b:0 c:0 | a unknown"],
    ["timeout after sending", "safe", "DEADLINE_EXCEEDED | a:1 b:0 c:0 | a unknown"],
    ["503", "safe", "503 | a:4 b:0 c:0 | a answered, a answered, a answered, a answered"],
    ["503", "neither", "503 | a:1 b:0 c:0 | a answered"],
    ["401", "neither", "401 | a:1 b:0 c:0 | a answered"],
  ] as const)("%s, %s: %s", async (fault, kind, expected) => {
    expect(await run(faults[fault] as Behaviour, requests[kind], setup)).toBe(expected);
  });
});

describe("a request bound to a server by a lock or entity tag", () => {
  const bound = (request: ScriptedRequest): ScriptedRequest => ({ ...request, boundTo: ["lock"] });
  test.each([
    ["refused", GET, "AFFINITY_UNAVAILABLE | a:0 b:0 | a failed, a failed, a failed, a failed"],
    ["refused", POST, "AFFINITY_UNAVAILABLE | a:0 b:0 | a failed, a failed, a failed, a failed"],
    ["reset after sending", PUT, "OUTCOME_UNKNOWN | a:1 b:0 | a unknown"],
    ["reset after sending", GET, "AFFINITY_UNAVAILABLE | a:4 b:0 | a unknown, a unknown, a unknown, a unknown"],
    ["503", PUT, "503 | a:1 b:0 | a answered"],
  ] as const)("stays there: %s", async (fault, request, expected) => {
    const affinity = { get: () => "a", set() {}, delete() {} };
    const options = { servers: ["a", "b"], affinity };
    expect(await run(faults[fault] as Behaviour, bound(request), { options })).toBe(expected);
  });
});
