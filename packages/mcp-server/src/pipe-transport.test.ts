import { once } from "node:events";
import { PassThrough } from "node:stream";
import type { JSONRPCMessage } from "@modelcontextprotocol/server";
import { expect, test } from "vitest";
import { PipeTransport } from "./pipe-transport.ts";

/** A transport that takes lines of 1,000 bytes, with a client that writes and reads lines. */
async function connected() {
  const [input, output] = [new PassThrough(), new PassThrough()];
  const transport = new PipeTransport(input, output, 1_000);
  const received: JSONRPCMessage[] = [];
  transport.onmessage = (message) => void received.push(message);
  await transport.start();
  return {
    transport,
    received,
    say: (message: unknown) => input.write(`${JSON.stringify(message)}\n`),
    async hear() {
      const [line] = (await once(output, "data")) as [Buffer];
      return JSON.parse(String(line)) as object;
    },
  };
}

const request = (id: number | string, params: object = {}) => ({ jsonrpc: "2.0", id, method: "tools/call", params });
const answer = (id: number) => ({ jsonrpc: "2.0" as const, id, result: {} });
const nested = (depth: number): object => (depth === 0 ? {} : { a: nested(depth - 1) });

test("the second of two requests under one id is refused, and the first one has its answer", async () => {
  const { transport, received, say, hear } = await connected();
  say(request(1));
  say(request(1));
  expect(await hear()).toMatchObject({ id: null, error: { code: -32_600, message: expect.stringContaining("id 1") } });
  expect(received).toHaveLength(1);
  await transport.send(answer(1));
  say(request(1));
  say(request("1"));
  say({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } });
  say(request(1));
  await new Promise((resolve) => setImmediate(resolve));
  expect(received.map((message) => ("id" in message ? message.id : undefined))).toEqual([1, 1, "1", undefined, 1]);
});

test.each([
  ["that is too long", request(1, { text: "x".repeat(1_000) }), "1000 bytes"],
  ["that is too deep", request(1, nested(120)), "100 levels deep"],
])("a request %s is refused, and the connection goes on", async (_what, message, problem) => {
  const { received, say, hear } = await connected();
  say(message);
  expect(await hear()).toMatchObject({ id: 1, error: { code: -32_600, message: expect.stringContaining(problem) } });
  say(request(2));
  await new Promise((resolve) => setImmediate(resolve));
  expect(received).toEqual([request(2)]);
});
