import { fileURLToPath } from "node:url";
import { createMcpServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { TestHost } from "./testing/client.test-support.ts";
import { askingOverHttp } from "./testing/sdk-http.test-support.ts";
import { ended, isAlive, openPool, textOf, type OpenPool } from "./testing/pool.test-support.ts";
import type { McpRequest } from "./wire.ts";

const OLDER = fileURLToPath(new URL("testing/asking-v1-stdio.test-support.ts", import.meta.url));
const keeping = { command: [process.execPath, OLDER], era: "legacy" };

const note = (text: string): McpRequest => ({ method: "tools/call", params: { name: "note", arguments: { text } } });
const of = (session: string, principal?: string) => ({
  caller: { session, ...(principal !== undefined && { principal }) },
});

/** What a session of the server knows, after it was told this. */
async function told({ pool }: OpenPool, text: string, who: object = {}): Promise<{ pid: number; notes: string }> {
  const { value } = await pool.execute(note(text), who);
  const [pid = "", ...notes] = textOf(value).split(" ");
  return { pid: Number(pid), notes: notes.join(" ") };
}

describe("sessions of their own", () => {
  test.each(["auto", "own"])("are every session's, or else every principal's (%s)", async (sessions) => {
    await using open = await openPool([keeping], {}, { sessions });
    await told(open, "s", of("one", "alice"));
    await told(open, "t", of("two", "alice"));
    await told(open, "p", { caller: { principal: "alice" } });
    await told(open, "n");
    expect((await told(open, ".", of("one", "alice"))).notes).toBe("s .");
    expect((await told(open, ".", of("two", "alice"))).notes).toBe("t .");
    expect((await told(open, ".", { caller: { principal: "alice" } })).notes).toBe("p .");
    expect((await told(open, ".")).notes).toBe("n .");
  });

  test("are nobody's where they are shared", async () => {
    await using open = await openPool([keeping], {}, { sessions: "shared" });
    await told(open, "a", of("one"));
    await told(open, "b", { caller: { principal: "alice" } });
    expect((await told(open, "c")).notes).toBe("a b c");
  });

  test("are nobody's with a server that is known to keep none", async () => {
    await using server = await createMcpServer({ transport: "stdio", era: "modern" });
    await using open = await openPool([{ command: server.command }]);
    await open.pool.execute({ method: "tools/list" });
    for (const session of ["a", "b"]) await open.pool.execute({ method: "tools/list" }, of(session));
    // The first one found out that there are none, and keeps what it began.
    expect(server.pids).toHaveLength(3);
    await using said = await openPool([{ command: server.command, era: "modern" }]);
    for (const session of ["a", "b"]) await said.pool.execute({ method: "tools/list" }, of(session));
    expect(server.pids).toHaveLength(4);
  });

  test("that were begun before that was known go on until they are idle", async () => {
    await using server = await createMcpServer({ transport: "stdio", era: "modern" });
    await using open = await openPool([{ command: server.command }]);
    await open.pool.execute({ method: "tools/list" }, of("early"));
    await open.pool.execute({ method: "tools/list" }, of("late"));
    await open.pool.execute({ method: "tools/list" }, of("early"));
    // The first process was asked whether it speaks the older era.
    const [, own, shared] = server.pids;
    expect(server.log.of("tools/list").map(({ pid }) => pid)).toEqual([own, shared, own]);
    open.clock.advance(120_000);
    await ended([own as number]);
    await open.pool.execute({ method: "tools/list" }, of("early"));
    expect(server.log.of("tools/list").at(-1)?.pid).toBe(shared);
  });

  test("are everybody's also in the modern era where that is wanted", async () => {
    await using server = await createMcpServer({ transport: "stdio", era: "modern" });
    await using open = await openPool([{ command: server.command }], {}, { sessions: "own" });
    for (const session of ["a", "b", "a"]) await open.pool.execute({ method: "tools/list" }, of(session));
    expect(server.pids).toHaveLength(3);
  });

  test("of the older era stay however long nobody uses them; those of principals do not", async () => {
    await using open = await openPool([keeping]);
    const session = await told(open, "kept", of("one"));
    const principal = await told(open, "lost", { caller: { principal: "alice" } });
    open.clock.advance(1_000_000);
    await ended([principal.pid]);
    expect(await told(open, ".", of("one"))).toEqual({ pid: session.pid, notes: "kept ." });
    expect((await told(open, ".", { caller: { principal: "alice" } })).notes).toBe(".");
  });
});

describe("a session that is released", () => {
  test("ends its process, and no other", async () => {
    const host = new TestHost();
    await using open = await openPool([keeping], {}, {}, {}, {}, host);
    const [one, other] = [await told(open, "a", of("one")), await told(open, "b", of("other"))];
    const process = of("one").caller;
    await open.pool.release(process);
    expect([isAlive(one.pid), isAlive(other.pid)]).toEqual([false, true]);
    expect(host.ended.map(({ partition }) => partition)).toEqual(["session:one"]);
    expect((await told(open, ".", of("other"))).notes).toBe("b .");
    expect((await told(open, ".", of("one"))).notes).toBe(".");
  });

  test("is ended at a server over HTTP", async () => {
    await using server = await createMcpServer({ transport: "http", era: "legacy" });
    await using open = await openPool([{ url: server.url }]);
    for (const session of ["one", "other"]) await open.pool.execute({ method: "tools/list" }, of(session));
    expect(server.sessions.size).toBe(2);
    await open.pool.release(of("one").caller);
    expect([server.sessions.size, server.log.of("DELETE").length]).toEqual([1, 1]);
  });
});

describe("processes of one server", () => {
  test("are no more than it may have, which says what to do and blames nobody", async () => {
    await using open = await openPool([keeping], {}, { maxProcesses: 2 });
    await told(open, "a", of("one"));
    await told(open, "b", of("two"));
    await expect(told(open, "c", of("three"))).rejects.toMatchObject({
      code: "TOO_MANY_PROCESSES",
      message:
        'Server "s1" has 2 processes already, as many as it may; nothing was sent. Raise maxProcesses of its pool\'s transport, or set sessions: "shared" if the server keeps nothing between calls.',
    });
    for (let more = 0; more < 10; more++)
      await expect(told(open, "c", of(`more ${more}`))).rejects.toThrow(/Raise maxProcesses/);
    expect(open.pool.list()[0]).toMatchObject({ health: { status: "healthy", consecutiveFailures: 0 } });
    // Health checks and all who have none of their own come in whatever the others need.
    expect((await told(open, "shared")).notes).toBe("shared");
    await open.pool.release(of("one").caller);
    await expect(told(open, "c", of("three"))).rejects.toThrow(/Raise maxProcesses/);
    await open.pool.release(of("two").caller);
    expect((await told(open, "c", of("three"))).notes).toBe("c");
  });

  test("are counted for each replica, and another one takes the session", async () => {
    await using open = await openPool([keeping, keeping], { deadline: "1h" }, { maxProcesses: 1 });
    const one = await told(open, "a", of("one"));
    const two = await told(open, "b", of("two"));
    expect(one.pid).not.toBe(two.pid);
    await expect(told(open, "c", of("three"))).rejects.toThrow(/Raise maxProcesses/);
  });

  test("are no matter to servers over HTTP", async () => {
    await using server = await createMcpServer({ transport: "http", era: "legacy" });
    await using open = await openPool([{ url: server.url }], {}, { maxProcesses: 1 });
    for (const session of ["a", "b", "c"]) await open.pool.execute({ method: "tools/list" }, of(session));
    expect(server.sessions.size).toBe(3);
  });
});

test("a session stays with the replica that knows it", async () => {
  await using one = await askingOverHttp("older");
  await using other = await askingOverHttp("newer");
  await using open = await openPool([{ url: one.url }, { url: other.url, era: "legacy" }], { strategy: "round-robin" });
  const sessions = ["a", "b", "c", "d"];
  for (let turn = 1; turn <= 5; turn++)
    for (const session of sessions)
      expect((await told(open, session, of(session))).notes).toBe(Array(turn).fill(session).join(" "));
  expect([one.sessions(), other.sessions()]).toEqual([2, 2]);
  for (const session of sessions) await open.pool.release(of(session).caller);
  expect([one.sessions(), other.sessions()]).toEqual([0, 0]);
});

test("what one client can do is told with its request in the modern era, and no other", async () => {
  await using server = await createMcpServer({ transport: "http", era: "modern" });
  const host = new TestHost();
  await using open = await openPool([{ url: server.url }], {}, {}, {}, {}, host);
  const capabilities = { elicitation: { url: {} }, "x-own": {} };
  await open.pool.execute({ method: "tools/list", capabilities });
  await open.pool.execute({ method: "tools/call", params: { name: "read", _meta: { kept: 1 } }, capabilities });
  await open.pool.execute({ method: "tools/list" });
  const metas = ["tools/list", "tools/call"].flatMap((method) =>
    server.log.of(method).map(({ params }) => params?.["_meta"] as Record<string, unknown>),
  );
  const key = "io.modelcontextprotocol/clientCapabilities";
  expect(metas.map((meta) => meta[key])).toEqual([capabilities, host.capabilities, capabilities]);
  expect(metas[2]).toMatchObject({ kept: 1, "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
});

test("what one client can do is not told to a server of the older era, which knows it from the beginning", async () => {
  await using server = await createMcpServer({ transport: "http", era: "legacy" });
  const host = new TestHost();
  await using open = await openPool([{ url: server.url }], {}, {}, {}, {}, host);
  await open.pool.execute({ method: "tools/list", capabilities: { sampling: {} } });
  expect(server.log.of("initialize")[0]?.params).toMatchObject({ capabilities: host.capabilities });
  expect(server.log.of("tools/list")[0]?.params?.["_meta"]).toBeUndefined();
});
