import { createManualClock } from "@davpool/core";
import { describe, expect, test } from "vitest";
import { Eras } from "./eras.ts";
import { eventsOf, type ServerEvent } from "./http/event-stream.ts";
import { isMessage } from "./message.ts";
import { learned, traitsOf } from "./methods.ts";
import { Lines } from "./stdio/lines.ts";
import type { Outline } from "./stdio/outline.ts";
import type { McpRequest } from "./wire.ts";

describe("traits", () => {
  test("come from what a tool plainly says of itself", () => {
    const repeat = (annotations?: object) =>
      traitsOf({ method: "tools/call", params: { name: "x" }, ...(annotations && { annotations }) }).repeat;
    expect([
      repeat({ readOnlyHint: true }),
      repeat({ readOnlyHint: true, idempotentHint: false }),
      repeat({ idempotentHint: true }),
      repeat({ readOnlyHint: false, idempotentHint: true }),
      repeat({ destructiveHint: false }),
      repeat({ readOnlyHint: "true" }),
      repeat(),
    ]).toEqual(["safe", "safe", "idempotent", "idempotent", "neither", "neither", "neither"]);
  });

  test("of everything else come from its method", () => {
    const repeat = (method: McpRequest["method"]) => traitsOf({ method }).repeat;
    expect([
      repeat("tools/list"),
      repeat("resources/read"),
      repeat("prompts/get"),
      repeat("completion/complete"),
    ]).toEqual(["safe", "safe", "safe", "safe"]);
    expect(repeat("resources/subscribe")).toBe("idempotent");
    expect(() => repeat("initialize" as never)).toThrow(/"initialize" is no request that a pool of MCP servers takes/);
    expect(traitsOf({ method: "tools/list" })).toBe(traitsOf({ method: "tools/list" }));
  });

  test("bind the second round of a request to the server that asked for it", () => {
    const first = { method: "tools/call", params: { name: "x" } } as const;
    const [change] = learned(first, { result: { resultType: "input_required", requestState: "s" } });
    const { boundTo } = traitsOf({ ...first, params: { name: "x", requestState: "s" } });
    expect(change).toMatchObject({ learn: boundTo?.[0] });
    expect(learned(first, { result: {} })).toEqual([]);
  });
});

describe("lines", () => {
  const lines = (most: number, ...chunks: string[]) => {
    const reader = new Lines(most);
    return chunks.map((chunk) => reader.push(Buffer.from(chunk)));
  };
  test("are put together from pieces", () => {
    expect(lines(100, "a\nb", "c\r\n\n", "ü", "\n")).toEqual([["a"], ["bc", ""], [], ["ü"]]);
    const [first, second] = [Buffer.from("ä\n").subarray(0, 1), Buffer.from("ä\n").subarray(1)];
    const reader = new Lines(10);
    expect([reader.push(first), reader.push(second)]).toEqual([[], ["ä"]]);
  });
  test("that are too long leave their outline, and those that follow are read", () => {
    const inner = '{"a":"}\\\\\\"]","b":[[{}],"["]}';
    for (const [line, id] of [
      [`{"result":${inner},"jsonrpc":"2.0","id":7}`, 7],
      [`{"jsonrpc":"2.0","id":"x","error":${inner}}`, "x"],
      [`data: {"id":8,"result":{}}`, 8],
      ["x".repeat(10_000), undefined],
      [`[${inner}]`, undefined],
    ] as const) {
      const pieces = `${line}\nabc\n`.match(/.{1,7}\n?/gs) ?? [];
      const [outline, next] = lines(10, ...pieces).flat();
      expect([(outline as Outline).id, (outline as Outline).method, next]).toEqual([id, undefined, "abc"]);
    }
    const [question] = lines(10, '{"jsonrpc":"2.0","id":1,"method":"roots/list"}\n').flat();
    expect((question as Outline).method).toBe("roots/list");
  });
});

describe("events", () => {
  async function read(...chunks: string[]): Promise<ServerEvent[]> {
    async function* stream() {
      for (const chunk of chunks) yield await Promise.resolve(Buffer.from(chunk));
    }
    const events: ServerEvent[] = [];
    for await (const event of eventsOf(stream(), "s1", 20, () => {})) events.push(event);
    return events;
  }
  test("are read as browsers read them", async () => {
    expect(
      await read(": hello\n\n", "event: a\ndata: 1\ndata:2\nid: 7\n\nretry: 5\n", "\ndata\n\n", "data: lost"),
    ).toEqual([
      { type: "a", data: "1\n2", id: "7", retry: undefined },
      { type: "message", data: "", id: undefined, retry: 5 },
      { type: "message", data: "", id: undefined, retry: undefined },
    ]);
  });
  test("have an end", async () => {
    await expect(read("data: 0123456789\ndata: 0123456789\ndata: 0\n")).rejects.toThrow(/more than 20 bytes/);
    expect((await read(`data: {"id":1,"result":"${"x".repeat(30)}"}\n\n`))[0]?.outline?.id).toBe(1);
    await expect(read(`data: ${"x".repeat(10)}\ndata: ${"x".repeat(11)}\n\n`)).rejects.toThrow(/more than 20 bytes/);
  });
});

test("an older era is believed for a limited time, however often it is heard of", () => {
  const clock = createManualClock();
  const eras = new Eras(clock, 1_000);
  eras.learn("a", { kind: "legacy" });
  clock.advance(600);
  eras.learn("a", { kind: "legacy" });
  expect(eras.known("a")).toEqual({ kind: "legacy" });
  clock.advance(400);
  expect(eras.known("a")).toBeUndefined();
  expect(eras.known("b")).toBeUndefined();
});

test.each([
  [{ jsonrpc: "2.0", id: 1, result: {} }, true],
  [{ jsonrpc: "2.0", id: "a", error: { code: 1, message: "x" } }, true],
  [{ jsonrpc: "2.0", id: null, error: { code: 1, message: "x" } }, true],
  [{ jsonrpc: "2.0", method: "x" }, true],
  [{ jsonrpc: "2.0", id: 1 }, false],
  [{ jsonrpc: "2.0", id: 1, error: null }, false],
  [{ jsonrpc: "1.0", id: 1, result: {} }, false],
  [{ jsonrpc: "2.0", method: 7 }, false],
  [[], false],
  [null, false],
  ["x", false],
])("%j is a message: %s", (value, expected) => {
  expect(isMessage(value)).toBe(expected);
});
