import { createManualClock } from "@davpool/core";
import { createMcpServer } from "@davpool/testkit";
import { expect, test } from "vitest";
import { messagesOf, startHttpServer } from "../testing/http-server.test-support.ts";
import { ProgressLimit } from "./progress-limit.ts";

test("a call goes on for as long as it reports progress in time", () => {
  const clock = createManualClock();
  using limit = new ProgressLimit(clock, 1_000, new AbortController().signal);
  for (let reports = 0; reports < 10; reports++) {
    clock.advance(999);
    limit.extend();
  }
  expect([limit.expired, limit.signal.aborted]).toEqual([false, false]);
  clock.advance(1_000);
  expect([limit.expired, limit.signal.aborted]).toEqual([true, true]);
});

test("a call whose client goes away ends, and was not too long", () => {
  const client = new AbortController();
  using limit = new ProgressLimit(createManualClock(), 1_000, client.signal);
  client.abort();
  expect([limit.expired, limit.signal.aborted]).toEqual([false, true]);
});

test("a call that asks for progress and has none in time is told which settings give it more", async () => {
  await using mcp = await createMcpServer({ transport: "http", name: "up", tools: [{ name: "add" }] });
  await using server = await startHttpServer({
    pools: { up: { transport: "mcp", deadline: "1h", servers: [{ serverId: "u", url: mcp.url, timeout: 3_600_000 }] } },
  });
  const session = { "mcp-session-id": await server.initialize() };
  using _ = mcp.inject({ kind: "hang", on: "call" });
  const params = { name: "add", arguments: {}, _meta: { progressToken: 1 } };
  const answer = server.post({ jsonrpc: "2.0", id: 1, method: "tools/call", params }, session);
  await mcp.log.received("add");
  server.clock.advance(30_000);
  expect(await messagesOf(await answer)).toMatchObject([
    {
      error: {
        code: -32_003,
        message: expect.stringMatching(/after 30000 ms.*sessions\.operationTimeout.*gateway\.longestCall/) as string,
        data: { code: "DEADLINE_EXCEEDED", pool: "up" },
      },
    },
  ]);
});
