import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDavpoolError } from "@davpool/core";
import { createMcpServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { TIMEOUT, meanwhile, openPool, textOf } from "./testing/pool.test-support.ts";
import type { McpRequest } from "./wire.ts";

const call = (name: string): McpRequest => ({ method: "tools/call", params: { name } });

async function errorOf(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await work;
  } catch (error) {
    if (isDavpoolError(error)) return error;
    throw error;
  }
  return { code: "none", message: "no error" };
}

async function temporaryFile(text: string) {
  const folder = await mkdtemp(join(tmpdir(), "davpool-"));
  const path = join(folder, "file");
  await writeFile(path, text);
  return { path, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

describe("a session that the server does not know any more", () => {
  test.each([
    [400, "Bad Request: No valid session ID provided"],
    [400, '{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request"}}'],
    [410, "gone"],
    [422, '{"detail":"unknown client"}'],
  ])("is begun anew whatever the answer is called: HTTP %i %s", async (status, words) => {
    await using server = await createMcpServer({
      transport: "http",
      era: "legacy",
      faults: [{ kind: "unknown-session", status, text: words }],
    });
    await using open = await openPool([{ url: server.url }]);
    await open.pool.execute(call("add"));
    server.loseSessions();
    expect(textOf((await open.pool.execute(call("add"))).value)).toBe("server-1 add {}");
    expect([server.sessionsBegun, server.calls.length]).toEqual([2, 2]);
  });

  test("is not one that the server knows and refuses something in", async () => {
    await using server = await createMcpServer({ transport: "http", era: "legacy" });
    await using open = await openPool([{ url: server.url }]);
    await open.pool.execute(call("add"));
    using _ = server.inject({ kind: "status", status: 400, on: "call" });
    expect((await open.pool.execute(call("add"))).value.refusal?.status).toBe(400);
    expect([server.sessionsBegun, server.log.of("ping").length]).toEqual([1, 1]);
  });
});

describe("refused credentials", () => {
  test.each(["legacy", "modern"] as const)("take the server out until the token changes (%s)", async (era) => {
    await using token = await temporaryFile("one");
    await using server = await createMcpServer({ transport: "http", era, name: "guarded", token: "one" });
    await using well = await createMcpServer({ transport: "http", name: "well" });
    await using open = await openPool([{ url: server.url, token: { file: token.path } }, { url: well.url }], {
      strategy: "round-robin",
      health: {},
    });
    await open.pool.execute(call("add"), { serverId: "s1" });
    server.token = "two";
    const moved = await open.pool.execute(call("add"));
    const next = await open.pool.execute(call("add"));
    expect([textOf(moved.value), textOf(next.value)]).toEqual(["well add {}", "well add {}"]);
    expect([...moved.attempts, ...next.attempts].find(({ failure }) => failure)?.failure).toMatchObject({
      kind: "refused",
      code: 401,
    });
    await meanwhile(open.clock, () => open.pool.list()[0]?.health.status === "unhealthy");
    await writeFile(token.path, "two");
    await meanwhile(open.clock, () => open.pool.list()[0]?.health.status === "healthy");
    expect(textOf((await open.pool.execute(call("add"), { serverId: "s1" })).value)).toBe("guarded add {}");
  });

  test("at the beginning of a session are not knocked with again by the transport itself", async () => {
    await using server = await createMcpServer({ transport: "http", token: "right" });
    await using open = await openPool([{ url: server.url, token: "wrong" }]);
    expect(await errorOf(open.pool.execute(call("add")))).toMatchObject({ code: "NO_SERVER_AVAILABLE" });
    const asked = server.refused;
    open.clock.advance(3_600_000);
    await new Promise((resolve) => setImmediate(resolve));
    expect(server.refused).toBe(asked);
  });
});

describe("a connection that only fails", () => {
  test("to a process that hangs is replaced: the process ends, and another one answers", async () => {
    await using server = await createMcpServer({ transport: "stdio", faults: [] });
    await using open = await openPool([{ command: server.command }], {}, { grace: 0 });
    await open.pool.execute(call("add"));
    const hang = server.inject({ kind: "hang", on: "call" });
    for (let failures = 1; failures <= 3; failures++) {
      const answer = errorOf(open.pool.execute(call("add")));
      await server.log.received("add", failures + 1);
      open.clock.advance(TIMEOUT);
      expect((await answer).code).toBe("OUTCOME_UNKNOWN");
    }
    const [hung] = server.pids;
    hang.off();
    expect(textOf((await open.pool.execute(call("add"))).value)).toBe("server-1 add {}");
    expect(server.calls.at(-1)?.pid).not.toBe(hung);
  });

  test("over HTTP is replaced, whatever the server answers in a session that it lost", async () => {
    await using server = await createMcpServer({
      transport: "http",
      era: "legacy",
      faults: [{ kind: "unknown-session", status: 500, text: "no such client" }],
    });
    await using open = await openPool([{ url: server.url }]);
    await open.pool.execute(call("add"));
    server.loseSessions();
    for (let failures = 1; failures <= 3; failures++)
      expect((await open.pool.execute(call("add"))).value.refusal?.status).toBe(500);
    expect(textOf((await open.pool.execute(call("add"))).value)).toBe("server-1 add {}");
    expect(server.sessionsBegun).toBe(2);
  });
});
