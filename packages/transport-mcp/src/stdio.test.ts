import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { isDavpoolError } from "@davpool/core";
import { MISSING_COMMAND, createMcpServer, type McpStdioServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { TIMEOUT, ended, isAlive, meanwhile, openPool, textOf, type OpenPool } from "./testing/pool.test-support.ts";
import type { McpRequest, McpResponse } from "./wire.ts";

const call = (name: string, args: object = {}): McpRequest => ({
  method: "tools/call",
  params: { name, arguments: args },
  ...(name === "read" && { annotations: { readOnlyHint: true } }),
  ...(name === "put" && { annotations: { idempotentHint: true } }),
});

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "no error";
  } catch (error) {
    if (isDavpoolError(error)) return error.code;
    throw error;
  }
}

async function messageOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return (error as Error).message;
  }
  return "no error";
}

/** Resolves when the system has forgotten a process, as this one was told of its end. */
async function reaped(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function within(
  server: McpStdioServer,
  use: (open: OpenPool) => Promise<void>,
  profile: object = {},
  transport: object = {},
): Promise<void> {
  await using open = await openPool([{ command: server.command, ...profile }], {}, { ...transport });
  await use(open);
}

describe("a process", () => {
  test.each(["legacy", "modern", "both"] as const)("of era %s answers, and ends with its pool", async (era) => {
    await using server = await createMcpServer({ transport: "stdio", era });
    await within(server, async ({ pool }) => {
      const { value, serverId } = await pool.execute(call("read", { a: 1 }));
      expect([textOf(value), serverId]).toEqual(['server-1 read {"a":1}', "s1"]);
      const lists = await Promise.all(
        (["tools/list", "prompts/list", "resources/list"] as const).map((method) => pool.execute({ method })),
      );
      expect(lists.map((list) => Object.keys(list.value.result ?? {}).toSorted()[0])).toEqual([
        expect.any(String),
        expect.any(String),
        expect.any(String),
      ]);
    });
    await server.gone();
    expect(server.pids.filter(isAlive)).toEqual([]);
    // The modern era has no hello: what began is what was asked for.
    expect(server.log.of("initialize")).toHaveLength(era === "legacy" ? 1 : 0);
  });

  test("that ends when it hears of the newer era is started once more, and asked in the older way", async () => {
    await using server = await createMcpServer({
      transport: "stdio",
      era: "legacy",
      faults: [{ kind: "exit-on-discover" }],
    });
    await within(server, async ({ pool }) => {
      expect(textOf((await pool.execute(call("read"))).value)).toBe("server-1 read {}");
      expect(server.pids).toHaveLength(2);
      // From then on it is known.
      await server.kill();
      expect(textOf((await pool.execute(call("read"))).value)).toBe("server-1 read {}");
      expect(server.pids).toHaveLength(3);
    });
  });

  test("that was replaced by one of the older era is asked in the older way", async () => {
    await using server = await createMcpServer({ transport: "stdio", era: "modern" });
    await within(server, async ({ pool }) => {
      await pool.execute(call("read"));
      server.become("legacy");
      await server.kill();
      await server.log.received("initialize");
      expect(textOf((await pool.execute(call("add"))).value)).toBe("server-1 add {}");
      expect(server.log.of("initialize")).toHaveLength(1);
    });
  });

  test("finds the usual variables and what its profile names in its environment, and nothing else", async () => {
    await using server = await createMcpServer({ transport: "stdio" });
    await using open = await openPool(
      [{ command: server.command, env: { API_KEY: { env: "KEY_OF_S1" }, MODE: "test" }, inheritEnv: ["LANG"] }],
      {},
      {},
      { KEY_OF_S1: "hunter2", OTHER: "not its business", USER: "ann", TERM: "dumb", SHELL: "/bin/sh", LANG: "C" },
    );
    await open.pool.execute(call("read"));
    const { PATH, HOME, API_KEY, MODE, ...rest } = server.environment;
    expect({ PATH, HOME, API_KEY, MODE }).toEqual({
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      API_KEY: "hunter2",
      MODE: "test",
    });
    expect(rest).toMatchObject({ USER: "ann", TERM: "dumb", SHELL: "/bin/sh", LANG: "C" });
    expect(rest).not.toHaveProperty("OTHER");
    expect(JSON.stringify(open.pool.list())).not.toContain("hunter2");
  });

  test("whose secret cannot be read is not started", async () => {
    await using server = await createMcpServer({ transport: "stdio" });
    await within(
      server,
      async ({ pool }) => expect(await messageOf(pool.execute(call("read")))).toContain("environment variable NOWHERE"),
      { env: { KEY: { env: "NOWHERE" } } },
    );
    expect(server.pids).toEqual([]);
  });

  test("writes its errors to the log, without secrets and not without end", async () => {
    const script = `console.error("the key is hunter2"); for (let n = 0; n < 1100; n++) console.error("line " + n); process.exitCode = 3`;
    await using open = await openPool([
      { command: process.execPath, args: ["-e", script], env: { KEY: "hunter2" }, era: "legacy" },
    ]);
    const message = await messageOf(open.pool.execute(call("read")));
    expect(message).toContain("its process exited with code 3: line 1099");
    expect(open.lines).toContainEqual(expect.stringMatching(/^debug the key is … .*"stream":"stderr"/));
    expect(open.lines.filter((line) => /^debug line \d/.test(line))).toHaveLength(999);
    expect(open.lines.join("\n")).not.toContain("hunter2");
  });
});

describe("a process that dies", () => {
  test("in a call that may be repeated is started again at once, and asked again", async () => {
    await using server = await createMcpServer({ transport: "stdio" });
    await within(server, async ({ pool }) => {
      await pool.execute(call("read"));
      const crash = server.inject({ kind: "crash", after: 1 });
      const answer = pool.execute(call("put"));
      await server.started(2);
      crash.off();
      const { value, attempts } = await answer;
      expect(textOf(value)).toBe("server-1 put {}");
      expect(attempts.map(({ outcome }) => outcome)).toEqual(["unknown", "answered"]);
      expect(attempts[0]?.failure).toMatchObject({
        kind: "broken",
        message: "its process exited with code 1: it dies",
      });
    });
  });

  test("in a call that may not be repeated leaves its outcome unknown", async () => {
    await using server = await createMcpServer({ transport: "stdio" });
    await within(server, async ({ pool }) => {
      await pool.execute(call("read"));
      server.inject({ kind: "crash", after: 1 });
      expect(await codeOf(pool.execute(call("add")))).toBe("OUTCOME_UNKNOWN");
      expect(server.log.of("add")).toHaveLength(1);
    });
  });

  test("between two calls is started again without being asked", async () => {
    await using server = await createMcpServer({ transport: "stdio" });
    await within(server, async ({ pool }) => {
      await pool.execute(call("read"));
      await server.kill();
      await server.started(2);
      expect(textOf((await pool.execute(call("add"))).value)).toBe("server-1 add {}");
    });
  });

  test.each([
    ['throw Object.assign(new Error("no token"), { hint: { set: "TOKEN" } })', "Error: no token"],
    ['console.error("starting…\\nОшибка: нет токена\\n"); process.exit(1)', "Ошибка: нет токена"],
    ['console.error("starting…\\n  ❌ no token"); process.exit(1)', "❌ no token"],
  ])("says why, whatever is written after that: %s", async (script, why) => {
    await using open = await openPool([{ command: [process.execPath, "-e", script] }]);
    const message = await messageOf(open.pool.execute(call("read")));
    expect(message).toContain(`its process exited with code 1: ${why}`);
  });

  test("is asked nothing more, also while what it left behind keeps its output open", async () => {
    // It ends itself, and what it has started is in a group of its own.
    const script = `
      const { spawn } = require("node:child_process");
      require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
        const { id, method } = JSON.parse(line);
        const answer = (result) => console.log(JSON.stringify({ jsonrpc: "2.0", id, result }));
        if (method === "initialize")
          answer({ protocolVersion: "2025-11-25", capabilities: {}, serverInfo: { name: "x", version: "1" } });
        if (method !== "tools/call") return;
        const { pid } = spawn("sleep", ["60"], { detached: true, stdio: ["ignore", "inherit", "ignore"] });
        answer({ content: [{ type: "text", text: process.pid + " " + pid }] });
      });
    `;
    const ids = async (answer: Promise<{ readonly value: McpResponse }>) =>
      textOf((await answer).value)
        .split(" ")
        .map(Number) as [number, number];
    await using open = await openPool([{ command: [process.execPath, "-e", script], era: "legacy", timeout: 5_000 }]);
    const [first, child] = await ids(open.pool.execute(call("read")));
    process.kill(first, "SIGKILL");
    await reaped(first);
    const answer = ids(open.pool.execute(call("read")));
    answer.catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    // Its output is waited for no longer.
    open.clock.advance(1_000);
    const [second, other] = await answer;
    expect(second).not.toBe(first);
    process.kill(child);
    process.kill(other);
  });

  test("before it is ready rests longer each time, and is started by a call that needs it", async () => {
    await using server = await createMcpServer({ transport: "stdio", faults: [{ kind: "crash-before-ready" }] });
    await within(
      server,
      async ({ pool, clock, logged }) => {
        const message = await messageOf(pool.execute(call("add")));
        expect(message).toContain("its process exited with code 1: it dies");
        await logged("There is no session with a server");
        const begun = server.pids.length;
        // A pause of 500 ms, of which chance takes a quarter.
        clock.advance(374);
        expect(server.pids).toHaveLength(begun);
        clock.advance(1);
        await server.started(begun + 1);
        await server.gone();
        await logged('"next":750');
        expect(await codeOf(pool.execute(call("add")))).toBe("NO_SERVER_AVAILABLE");
        expect(server.pids.length).toBeGreaterThan(begun + 1);
        server.clearFaults();
        // Time stands still: it is the call that has it started.
        expect(textOf((await pool.execute(call("add"))).value)).toBe("server-1 add {}");
      },
      { era: "legacy" },
    );
  });

  test("and does not start again is checked at once, and not only when its next check is due", async () => {
    await using server = await createMcpServer({ transport: "stdio" });
    const settings = { health: { enabled: true, failures: 2 } };
    await using open = await openPool([{ command: server.command, healthCheckInterval: 3_600 }], settings);
    const healthOf = () => open.pool.list()[0]?.health;
    await meanwhile(open.clock, () => healthOf()?.lastCheck !== undefined);
    expect(textOf((await open.pool.execute(call("add"))).value)).toContain("add");
    server.inject({ kind: "crash-before-ready" });
    for (const pid of server.pids) process.kill(pid, "SIGKILL");
    const start = open.clock.now();
    await meanwhile(open.clock, () => healthOf()?.status === "unhealthy");
    expect(open.clock.now() - start).toBeLessThan(600_000);
  });

  test("before it was good for anything counts as one that was not ready", async () => {
    const script = `process.stdin.once("data", (line) => { const { id } = JSON.parse(line); console.log(JSON.stringify({ jsonrpc: "2.0", id, result: { protocolVersion: "2025-11-25", capabilities: {}, serverInfo: { name: "x", version: "1" } } })); process.stdout.end(() => process.exit(0)); })`;
    await using open = await openPool([{ command: [process.execPath, "-e", script], era: "legacy" }]);
    await codeOf(open.pool.execute(call("add")));
    await open.logged("There is no session with a server: its process exited with code 0");
    expect(open.lines.filter((line) => line.includes("was started"))).toHaveLength(1);
  });

  test("as soon as it runs says so with its last words", async () => {
    await using server = await createMcpServer({ transport: "stdio", faults: [{ kind: "exit-at-once", code: 7 }] });
    await within(server, async ({ pool }) => {
      expect(await messageOf(pool.execute(call("add")))).toContain(
        "its process exited with code 7: it cannot run here",
      );
    });
  });
});

describe("bad input", () => {
  test("a command that does not exist, or a folder", async () => {
    await using open = await openPool([{ command: MISSING_COMMAND }, { command: "true", cwd: "no/such/folder" }]);
    const message = await messageOf(open.pool.execute(call("add")));
    expect(message).toContain(`the command "${MISSING_COMMAND}" was not found; install it, or give its whole path`);
    expect(message).toMatch(/the folder ".*no\/such\/folder" does not exist; make it, or change cwd/);
  });

  test("a file that is no program", async () => {
    await using open = await openPool([{ command: fileURLToPath(import.meta.url) }]);
    expect(await messageOf(open.pool.execute(call("add")))).toContain("cannot be started (EACCES)");
  });

  test("a server that never answers initialize is ended, and others are not affected", async () => {
    await using hanging = await createMcpServer({ transport: "stdio", faults: [{ kind: "hang", on: "initialize" }] });
    await using well = await createMcpServer({ transport: "stdio", name: "well" });
    await using open = await openPool([{ command: hanging.command, era: "legacy" }, { command: well.command }], {
      deadline: "5m",
      serverDefaults: { timeout: 120_000, retryAttempts: 0 },
    });
    const stuck = messageOf(open.pool.execute(call("add"), { serverId: "s1" }));
    expect(textOf((await open.pool.execute(call("add"), { serverId: "s2" })).value)).toBe("well add {}");
    await hanging.log.received("initialize");
    open.clock.advance(60_000);
    expect(await stuck).toContain("no session within 60000 ms; raise startTimeout if it needs longer");
    await hanging.gone();
  });

  test("what is no message on standard output is left out, and told once", async () => {
    await using server = await createMcpServer({ transport: "stdio", faults: [{ kind: "garbage" }] });
    await within(server, async ({ pool, lines }) => {
      await pool.execute(call("add"));
      expect(textOf((await pool.execute(call("add", { b: 2 }))).value)).toBe('server-1 add {"b":2}');
      expect(lines.filter((line) => line.startsWith("warn A server writes to its standard output"))).toHaveLength(1);
    });
  });

  test("an answer over the limit fails its call alone: no replica is asked, and the process goes on", async () => {
    await using first = await createMcpServer({ transport: "stdio" });
    await using second = await createMcpServer({ transport: "stdio" });
    const servers = [{ command: first.command }, { command: second.command }];
    await using open = await openPool(servers, {}, { longestMessage: 1_048_576 });
    const { pool } = open;
    const faults = [first, second].map((server) => server.inject({ kind: "long-line" }));
    const hang = [first, second].map((server) => server.inject({ kind: "hang", on: "call" }));
    const answers = Promise.all(["read", "add"].map((tool) => messageOf(pool.execute(call(tool), { serverId: "s1" }))));
    const free = messageOf(pool.execute(call("read")));
    for (const fault of hang) fault.off();
    for (const message of [...(await answers), await free])
      expect(message).toContain("answered with more than 1048576 bytes; raise longestMessage");
    expect(first.calls.length + second.calls.length).toBe(3);
    for (const fault of faults) fault.off();
    expect(textOf((await pool.execute(call("add"), { serverId: "s1" })).value)).toBe("server-1 add {}");
    expect(first.pids).toHaveLength(1);
  });

  test("an answer of 10 MB is within the limit that nobody has set", async () => {
    await using server = await createMcpServer({ transport: "stdio", faults: [{ kind: "long-line" }] });
    await within(server, async ({ pool }) => {
      expect(textOf((await pool.execute(call("add"))).value)).toHaveLength(10_000_000);
    });
  });

  test("half a message is none: the call ends when its time is up", async () => {
    await using server = await createMcpServer({ transport: "stdio", faults: [{ kind: "invalid-json" }] });
    await within(server, async ({ pool, clock, logged }) => {
      const answer = codeOf(pool.execute(call("add")));
      await logged("no MCP message");
      clock.advance(TIMEOUT);
      expect(await answer).toBe("OUTCOME_UNKNOWN");
    });
  });

  test("a tool without a valid schema is left out, and names of all kinds are passed on as they are", async () => {
    const broken = { name: "broken", inputSchema: { type: 7, properties: "none" } };
    const tools = [{ name: "a b::ç__".repeat(20) }, { name: "twice" }, { name: "twice" }];
    await using server = await createMcpServer({ transport: "stdio", era: "legacy", tools: [...tools, broken] });
    await within(server, async ({ pool }) => {
      const { value } = await pool.execute({ method: "tools/list" });
      expect(value.result?.["tools"]).toEqual(tools.map((tool) => ({ inputSchema: { type: "object" }, ...tool })));
    });
  });
});

describe("a call that ends early", () => {
  test("because its time is up, or its caller has gone, is cancelled at the server", async () => {
    await using server = await createMcpServer({ transport: "stdio", faults: [{ kind: "hang", on: "call" }] });
    await within(server, async ({ pool, clock }) => {
      const late = codeOf(pool.execute(call("add")));
      await server.log.received("add");
      clock.advance(TIMEOUT);
      expect(await late).toBe("OUTCOME_UNKNOWN");
      await server.log.received("notifications/cancelled");

      const caller = new AbortController();
      const given = codeOf(pool.execute(call("add"), { signal: caller.signal }));
      await server.log.received("add", 2);
      caller.abort();
      expect(await given).toBe("CANCELLED");
      await server.log.received("notifications/cancelled", 2);
      const [first, second] = server.log.of("notifications/cancelled");
      expect(first?.params?.["requestId"]).not.toEqual(second?.params?.["requestId"]);
    });
  });

  test("progress is told, and lengthens its time", async () => {
    await using server = await createMcpServer({ transport: "stdio" });
    await within(server, async ({ pool }) => {
      const seen: number[] = [];
      const request = {
        ...call("add", { steps: 3 }),
        onProgress: ({ progress }: { progress: number }) => seen.push(progress),
      };
      await pool.execute(request);
      expect(seen).toEqual([1, 2, 3]);
    });
  });
});

describe("nothing is left behind", () => {
  test("by a process that does not want to end, nor by what it has started", async () => {
    await using server = await createMcpServer({ transport: "stdio", helper: true, faults: [{ kind: "stubborn" }] });
    const open = await openPool([{ command: server.command }]);
    await open.pool.execute(call("read"));
    expect([...server.pids, ...server.helpers].map(isAlive)).toEqual([true, true]);
    const over = new AbortController();
    const closed = open[Symbol.asyncDispose]().then(() => over.abort());
    // Its input is closed, then it is asked by signal, then forced.
    while (!over.signal.aborted) {
      open.clock.advance(500);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await closed;
    await ended([...server.pids, ...server.helpers]);
  });

  test("by a process that dies and leaves a child", async () => {
    await using server = await createMcpServer({ transport: "stdio", helper: true });
    await within(server, async ({ pool }) => {
      await pool.execute(call("read"));
      const [helper = 0] = server.helpers;
      await server.kill();
      await server.started(2);
      await ended([helper]);
      expect(server.pids).toHaveLength(2);
    });
  });

  test("when davpool itself is killed", async () => {
    await using server = await createMcpServer({ transport: "stdio", helper: true, faults: [{ kind: "stubborn" }] });
    const program = fileURLToPath(new URL("testing/host.test-support.ts", import.meta.url));
    const host = spawn(process.execPath, [program, JSON.stringify(server.command)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(host.stdout, "data");
    const all = [...server.pids, ...server.helpers];
    expect(all.map(isAlive)).toEqual([true, true]);
    host.kill("SIGKILL");
    await server.gone();
    await ended(all);
  });
});

test("what a server says of its own accord is told, with its source", async () => {
  await using server = await createMcpServer({ transport: "stdio", era: "legacy" });
  await within(server, async ({ pool, events }) => {
    await pool.execute(call("read"));
    server.changeTools([{ name: "new" }]);
    const { value } = await pool.execute({ method: "tools/list" });
    expect(value.result?.["tools"]).toEqual([{ name: "new", inputSchema: { type: "object" } }]);
    expect(events).toEqual([{ serverId: "s1", partition: "", method: "notifications/tools/list_changed" }]);
  });
});
