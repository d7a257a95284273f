import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { createMcpServer } from "./create-mcp-server.ts";
import type { McpStdioServer } from "./stdio-server.ts";

const HELLO = { jsonrpc: "2.0", id: 1, method: "initialize", params: {} };
const META = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" };
const call = (id: number, name: string, more: object = {}) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name, ...more },
});

function start(server: McpStdioServer) {
  const [program, ...args] = server.command;
  const child = spawn(program, args);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    say: (message: object) => child.stdin.write(`${JSON.stringify(message)}\n`),
    line: async () => String((await lines.next()).value),
    hear: async () => JSON.parse(String((await lines.next()).value)) as Record<string, unknown>,
  };
}

async function ended(child: ChildProcessWithoutNullStreams): Promise<unknown> {
  const [code] = (await once(child, "exit")) as [number | null];
  return code;
}

describe("over stdio", () => {
  test("answers in the older way and in the newer one, and ends with its input", async () => {
    await using server = await createMcpServer({ transport: "stdio", name: "one" });
    const { child, say, hear } = start(server);
    say(HELLO);
    expect(await hear()).toMatchObject({
      id: 1,
      result: { protocolVersion: "2025-11-25", serverInfo: { name: "one" } },
    });
    say(call(2, "read", { arguments: { a: 1 } }));
    expect(await hear()).toMatchObject({ id: 2, result: { content: [{ text: 'one read {"a":1}' }] } });
    say(call(3, "add", { _meta: META }));
    expect(await hear()).toMatchObject({ id: 3, result: { resultType: "complete" } });
    say(call(4, "fail"));
    expect(await hear()).toMatchObject({ id: 4, result: { isError: true } });
    expect(server.calls.map(({ tool }) => tool)).toEqual(["read", "add", "fail"]);
    expect(server.running).toEqual([child.pid]);
    const end = ended(child);
    child.stdin.end();
    expect(await end).toBe(0);
    await server.gone();
  });

  test("speaks one era only where it should", async () => {
    await using legacy = await createMcpServer({ transport: "stdio", era: "legacy" });
    const older = start(legacy);
    older.say({ jsonrpc: "2.0", id: 1, method: "server/discover", params: { _meta: META } });
    expect(await older.hear()).toMatchObject({ error: { code: -32_601 } });
    await using modern = await createMcpServer({ transport: "stdio", era: "modern" });
    const newer = start(modern);
    newer.say(HELLO);
    expect(await newer.hear()).toMatchObject({ error: { code: -32_022 } });
  });

  test("tells of progress and of changed lists", async () => {
    await using server = await createMcpServer({ transport: "stdio" });
    const { say, hear } = start(server);
    say(call(1, "read", { arguments: { steps: 1 }, _meta: { progressToken: "t" } }));
    expect(await hear()).toMatchObject({
      method: "notifications/progress",
      params: { progressToken: "t", progress: 1 },
    });
    expect(await hear()).toMatchObject({ id: 1 });
    server.changeTools([{ name: "new" }]);
    expect(await hear()).toMatchObject({ method: "notifications/tools/list_changed" });
    say({ jsonrpc: "2.0", id: 2, method: "tools/list" });
    expect(await hear()).toMatchObject({ result: { tools: [{ name: "new" }] } });
  });

  test("crashes after so many calls, the last of which it carries out", async () => {
    await using server = await createMcpServer({ transport: "stdio", faults: [{ kind: "crash", after: 1 }] });
    const { child, say, hear } = start(server);
    say(call(1, "add"));
    await hear();
    const end = ended(child);
    say(call(2, "add"));
    expect(await end).toBe(1);
    expect(server.calls).toHaveLength(2);
  });

  test.each([
    ["exit-at-once", { kind: "exit-at-once", code: 7 }, 7],
    ["crash-before-ready", { kind: "crash-before-ready" }, 1],
    ["exit-on-discover", { kind: "exit-on-discover" }, 1],
  ] as const)("%s", async (_name, fault, code) => {
    await using server = await createMcpServer({ transport: "stdio", faults: [fault] });
    const { child, say } = start(server);
    child.stdin.on("error", () => {});
    const end = ended(child);
    say({ jsonrpc: "2.0", id: 1, method: "server/discover", params: { _meta: META } });
    expect(await end).toBe(code);
  });

  test("hangs until the fault is switched off", async () => {
    await using server = await createMcpServer({ transport: "stdio" });
    const hang = server.inject({ kind: "hang", on: "call" });
    const { say, hear } = start(server);
    say(call(1, "add"));
    await server.log.received("add");
    hang.off();
    expect(await hear()).toMatchObject({ id: 1, result: {} });
    expect(server.calls).toHaveLength(1);
  });

  test("writes what nobody can read", async () => {
    await using server = await createMcpServer({ transport: "stdio", faults: [{ kind: "garbage" }] });
    const { say, line } = start(server);
    say({ jsonrpc: "2.0", id: 1, method: "ping" });
    expect([await line(), await line(), await line()]).toEqual(["Server is listening…", "{}", "[1]"]);
    expect(JSON.parse(await line())).toMatchObject({ id: 1 });
    server.clearFaults();
    server.inject({ kind: "long-line", bytes: 100_000 });
    say(call(2, "add"));
    expect((await line()).length).toBeGreaterThan(100_000);
    server.clearFaults();
    server.inject({ kind: "invalid-json" });
    say(call(3, "add"));
    const half = await line();
    expect(() => JSON.parse(half) as unknown).toThrow(SyntaxError);
  });

  test("is killed with what it is, and says who it was", async () => {
    await using server = await createMcpServer({ transport: "stdio", helper: true });
    const { child } = start(server);
    await server.started();
    expect([server.pids, server.helpers.length]).toEqual([[child.pid], 1]);
    process.kill(server.helpers[0] as number);
    await server.kill();
    expect(server.running).toEqual([]);
  });

  test("can be killed when it has just died by itself", async () => {
    await using server = await createMcpServer({ transport: "stdio" });
    const { child } = start(server);
    await server.started();
    const died = once(child, "exit");
    child.kill("SIGKILL");
    await died;
    await server.kill();
    expect(server.running).toEqual([]);
  });
});

describe("over HTTP", () => {
  const post = (url: string, message: object, headers: object = {}) =>
    fetch(url, { method: "POST", body: JSON.stringify(message), headers: { ...headers } });

  test("has sessions, and loses them", async () => {
    await using server = await createMcpServer({ transport: "http", era: "legacy" });
    const hello = await post(server.url, HELLO);
    const session = { "mcp-session-id": hello.headers.get("mcp-session-id") ?? "" };
    expect(await (await post(server.url, call(2, "read"), session)).json()).toMatchObject({ id: 2 });
    server.loseSessions();
    expect((await post(server.url, call(3, "read"), session)).status).toBe(404);
    expect((await post(server.url, call(3, "read"))).status).toBe(400);
    expect(server.calls).toHaveLength(1);
  });

  test("asks for its token, answers with a status, or with another text than others", async () => {
    await using server = await createMcpServer({ transport: "http", era: "modern", token: "t" });
    const message = call(1, "read", { _meta: META });
    const right = { authorization: "Bearer t" };
    expect((await post(server.url, message)).status).toBe(401);
    const busy = server.inject({ kind: "status", status: 503, headers: { "retry-after": "1" } });
    const refused = await post(server.url, message, right);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
    busy.off();
    server.inject({ kind: "wrong-answer", text: "wrong" });
    expect(await (await post(server.url, message, right)).text()).toContain('"text":"wrong"');
  });

  test("breaks off, goes down, and comes back on the same port", async () => {
    await using server = await createMcpServer({ transport: "http", era: "modern", answersAs: "stream" });
    const message = call(1, "add", { _meta: META });
    expect(await (await post(server.url, message)).text()).toMatch(/^event: message\ndata: .*\n\n$/);
    const head = server.inject({ kind: "cut", when: "before-head" });
    await expect(post(server.url, message)).rejects.toThrow("fetch failed");
    head.off();
    server.inject({ kind: "cut", when: "in-stream" });
    const cut = await post(server.url, message);
    await expect(cut.text()).rejects.toThrow("terminated");
    server.clearFaults();
    const { url } = server;
    await server.stop();
    await expect(post(url, message)).rejects.toThrow("fetch failed");
    await server.start();
    expect([(await post(url, message)).status, server.url]).toEqual([200, url]);
  });
});
