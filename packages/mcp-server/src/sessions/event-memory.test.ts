import { createManualClock } from "@davpool/core";
import type { JSONRPCMessage } from "@modelcontextprotocol/server";
import { describe, expect, test } from "vitest";
import { EventMemory } from "./event-memory.ts";

const answer = (text = ""): JSONRPCMessage => ({
  jsonrpc: "2.0",
  id: 1,
  result: { content: [{ type: "text", text }] },
});
const news: JSONRPCMessage = { jsonrpc: "2.0", method: "notifications/progress" };
/** What marks a place in a stream. */
const place = {} as JSONRPCMessage;

async function replayed(memory: EventMemory, from: string): Promise<JSONRPCMessage[] | undefined> {
  if ((await memory.getStreamIdForEventId(from)) === undefined) return undefined;
  const messages: JSONRPCMessage[] = [];
  await memory.replayEventsAfter(from, { send: async (_id, message) => void messages.push(message) });
  return messages;
}

describe("what a session has sent", () => {
  test("is there for whoever comes back, from where the stream broke off", async () => {
    const memory = new EventMemory(createManualClock());
    const begin = await memory.storeEvent("a", place);
    const first = await memory.storeEvent("a", news);
    await memory.storeEvent("b", news);
    await memory.storeEvent("a", answer("x"));
    expect(await replayed(memory, begin)).toEqual([news, answer("x")]);
    expect(await replayed(memory, first)).toEqual([answer("x")]);
    expect(await replayed(memory, "1_c")).toBeUndefined();
    expect(await replayed(memory, "99_a")).toBeUndefined();
  });

  test("stays for a call that takes long, however many others are answered meanwhile", async () => {
    const memory = new EventMemory(createManualClock());
    const begin = await memory.storeEvent("slow", place);
    await memory.storeEvent("slow", news);
    const others: string[] = [];
    for (let index = 0; index < 1_000; index++) {
      others.push(await memory.storeEvent(`quick${index}`, place));
      await memory.storeEvent(`quick${index}`, answer());
    }
    expect(await replayed(memory, begin)).toEqual([news]);
    expect(await replayed(memory, others.at(-1) ?? "")).toEqual([answer()]);
    // Most have arrived, and keeping them all costs more than they did.
    expect(await replayed(memory, others[500] ?? "")).toBeUndefined();
  });

  test("is bounded in number, size and time, and whoever misses something is told", async () => {
    const clock = createManualClock();
    const memory = new EventMemory(clock);
    const begin = await memory.storeEvent("a", place);
    for (let index = 0; index < 300; index++) await memory.storeEvent("a", news);
    expect(await replayed(memory, begin)).toBeUndefined();
    const last = await memory.storeEvent("a", news);
    expect(await replayed(memory, last)).toEqual([]);
    const large = await memory.storeEvent("b", place);
    await memory.storeEvent("b", answer("x".repeat(300_000)));
    expect(await replayed(memory, large)).toBeUndefined();
    const old = await memory.storeEvent("c", place);
    await memory.storeEvent("c", answer());
    clock.advance(60_000);
    memory.sweep();
    expect(await replayed(memory, old)).toBeUndefined();
  });
});
