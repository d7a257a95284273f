import type { PolicyCall } from "@davpool/core";
import { describe, expect, test } from "vitest";
import { auditLine, lostLine, type ArgumentDetail } from "./audit-line.ts";

const AT = new Date("2026-01-01T00:00:00Z");

function written(request: unknown, detail: ArgumentDetail = "names", caller: PolicyCall["caller"] = {}): string {
  const traits = { operation: "tools/call", repeat: "neither", replayable: true } as const;
  return auditLine({ pool: "tools", request, traits, caller }, { serverId: "s1", latency: 1.6 }, AT, detail);
}

const told = (...parameters: Parameters<typeof written>) =>
  JSON.parse(written(...parameters)) as Record<string, unknown>;
const call = (given: unknown) => ({ method: "tools/call", params: { name: "put", arguments: given } });

test("is one line, whatever a caller puts into it", () => {
  const nasty = 'a"}\n{"outcome":"ok"}\r\v\f\u0085\u2028\u2029\u001b[2J\u009b31m\u007f\ud800';
  const line = written(call({ [nasty]: nasty }), "values", { principal: nasty, session: nasty });
  // oxlint-disable-next-line no-control-regex -- none of them may be there
  expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
  expect(line.at(-1)).toBe("\n");
  expect(JSON.parse(line)).toMatchObject({ principal: nasty, session: nasty, arguments: { [nasty]: nasty } });
});

test.each([
  undefined,
  null,
  "a text",
  [],
  {},
  { path: 7, params: null, headers: "none" },
  { params: { name: {}, uri: 1, arguments: "text" } },
])("of a request that is %j has what is known", (request) => {
  expect(told(request)).toEqual({
    time: "2026-01-01T00:00:00.000Z",
    pool: "tools",
    operation: "tools/call",
    server: "s1",
    outcome: "ok",
    latency: 2,
  });
});

test("may stand for others that were lost", () => {
  expect(lostLine("tools", 3, AT)).toBe('{"time":"2026-01-01T00:00:00.000Z","pool":"tools","lost":3}\n');
});

describe("what is too long", () => {
  test("is cut", () => {
    const long = "x".repeat(10_000);
    const { path, arguments: given } = told({ path: long, ...call({ content: long }) }, "values");
    const cut = `${"x".repeat(4_096)}…`;
    expect([path, given]).toEqual([cut, { content: cut }]);
  });

  test("gives way to names, and names to nothing, so that nobody keeps a call out of the log", () => {
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, key) => [`argument${key}`, key]));
    expect(told(call(many(1_000)), "values")["arguments"]).toHaveLength(1_000);
    expect(told(call(many(10_000)), "values")).toEqual(told(call(undefined)));
  });

  test("or no JSON at all gives way as well", () => {
    const circle: Record<string, unknown> = { number: 1n };
    circle["self"] = circle;
    expect(told(call(circle), "values")["arguments"]).toEqual(["number", "self"]);
  });
});
