import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { askingOverHttp, askingOverSse } from "./testing/sdk-http.test-support.ts";
import { TestHost, unanswered } from "./testing/client.test-support.ts";
import { TIMEOUT, meanwhile, openPool, textOf, type OpenPool } from "./testing/pool.test-support.ts";
import type { McpRequest, McpResponse } from "./wire.ts";

/* Servers of the older era that ask their client, made with both lines of the official SDK. */

const OLDER = fileURLToPath(new URL("testing/asking-v1-stdio.test-support.ts", import.meta.url));
const NEWER = fileURLToPath(new URL("testing/asking-v2-stdio.test-support.ts", import.meta.url));
const program = (file: string) => ({ command: [process.execPath, file], era: "legacy" });
const nothing = { [Symbol.asyncDispose]: () => Promise.resolve() };
const overHttp = (line: "older" | "newer") => async () => {
  const server = await askingOverHttp(line);
  return { [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](), profile: { url: server.url, era: "legacy" } };
};

const SERVERS = {
  "older over stdio": () => Promise.resolve({ ...nothing, profile: program(OLDER) }),
  "newer over stdio": () => Promise.resolve({ ...nothing, profile: program(NEWER) }),
  "older over HTTP": overHttp("older"),
  "newer over HTTP": overHttp("newer"),
  "older over HTTP+SSE": async () => {
    const server = await askingOverSse();
    return {
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
      profile: { url: server.url, transport: "sse" },
    };
  },
};

const call = (name: string, args: object = {}): McpRequest => ({
  method: "tools/call",
  params: { name, arguments: args },
});
const ask = (method: string, params: object = {}, more: object = {}) => call("ask", { method, params, ...more });

function open(profile: Readonly<Record<string, unknown>>, host: TestHost): Promise<OpenPool> {
  return openPool([profile], { deadline: "1h" }, {}, {}, {}, host);
}

const alice = { caller: { session: "alice" } };
const bob = { caller: { session: "bob" } };

describe.each(Object.entries(SERVERS))("a server, %s,", (name, start) => {
  const relates = name.endsWith("over HTTP");

  test("is answered what it asks, as it is", async () => {
    await using server = await start();
    const host = new TestHost();
    await using pool = await open(server.profile, host);
    const answers: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
      "sampling/createMessage": {
        model: "m",
        role: "assistant",
        content: { type: "text", text: "hi" },
        stopReason: "endTurn",
        unheardOf: { deeply: [1, null] },
      },
      "elicitation/create": { action: "accept", content: { name: "x", more: { not: "flat" } }, strange: true },
      "roots/list": { roots: [{ uri: "file:///a", name: "a", "x-own": 1 }] },
    };
    const params = {
      "sampling/createMessage": { messages: [], maxTokens: 5, "x-own": { kept: true } },
      "elicitation/create": { message: "?", requestedSchema: { type: "object", properties: {} } },
      "roots/list": {},
    };
    host.answer = ({ method }) => Promise.resolve(answers[method] ?? {});
    for (const [method, given] of Object.entries(params)) {
      const request = ask(method, given);
      const { value } = await pool.pool.execute(request, alice);
      expect(JSON.parse(textOf(value))).toEqual(answers[method]);
      const asked = host.asked.at(-1);
      expect([asked?.method, asked?.params]).toEqual([method, expect.objectContaining(given) as object]);
      expect(asked?.about.request).toBe(request);
      expect(asked?.session).toMatchObject({ pool: "tools", serverId: "s1", partition: "session:alice", relates });
    }
    expect(host.begun[0]).toMatchObject({ era: "legacy", serverCapabilities: { logging: {} } });
  });

  test("hears the client's errors", async () => {
    await using server = await start();
    const host = new TestHost();
    await using pool = await open(server.profile, host);
    const errors = [
      { error: Object.assign(new Error("user said no"), { code: -1, data: { why: "no" } }), code: -1 },
      { error: new Error("it broke"), code: -32_603 },
    ];
    for (const { error, code } of errors) {
      host.answer = () => Promise.reject(error);
      const { value } = await pool.pool.execute(ask("roots/list"), alice);
      const heard = (JSON.parse(textOf(value)) as { error: { code: number; message: string } }).error;
      expect(heard.code).toBe(code);
      expect(heard.message).toContain(error.message);
    }
  });

  test("asks each session by itself, and knows of each what it told it", async () => {
    await using server = await start();
    const host = new TestHost();
    await using pool = await open(server.profile, host);
    host.answer = ({ session }) => Promise.resolve({ roots: [{ uri: `test://${session.partition}` }] });
    const both = await Promise.all([alice, bob, alice, bob].map((who) => pool.pool.execute(ask("roots/list"), who)));
    expect(both.map(({ value }) => /session:\w+/.exec(textOf(value))?.[0])).toEqual(
      ["alice", "bob", "alice", "bob"].map((who) => `session:${who}`),
    );
    for (const [who, text] of [
      [alice, "a1"],
      [bob, "b1"],
      [alice, "a2"],
    ] as const)
      await pool.pool.execute(call("note", { text }), who);
    const notes = async (who: typeof alice) =>
      textOf((await pool.pool.execute(call("note", { text: "." }), who)).value).replace(/^\d+ /, "");
    expect([await notes(alice), await notes(bob)]).toEqual(["a1 a2 .", "b1 ."]);
    expect(host.begun.map(({ partition }) => partition).toSorted()).toEqual(["session:alice", "session:bob"]);
  });

  test("may wait for a person longer than a request may take", async () => {
    await using server = await start();
    const host = new TestHost();
    await using pool = await open(server.profile, host);
    const { promise, resolve } = Promise.withResolvers<Readonly<Record<string, unknown>>>();
    host.answer = () => promise;
    const answer = pool.pool.execute(ask("elicitation/create", { message: "?" }), alice);
    await host.until(() => host.asked.length > 0);
    for (let passed = 0; passed < 60 * TIMEOUT; passed += 100) pool.clock.advance(100);
    resolve({ action: "decline" });
    expect(textOf((await answer).value)).toBe('{"action":"decline"}');
  });

  test("is asked by others while more people take their time than it has slots", async () => {
    await using server = await start();
    const host = new TestHost();
    const profile = { ...server.profile, maxConnections: 2 };
    await using pool = await openPool([profile], { deadline: "1h", limits: { queue: false } }, {}, {}, {}, host);
    const { promise, resolve } = Promise.withResolvers<Readonly<Record<string, unknown>>>();
    host.answer = () => promise;
    const waiting: Promise<{ readonly value: McpResponse }>[] = [];
    while (waiting.length < 12) {
      waiting.push(pool.pool.execute(ask("elicitation/create", { message: "?" }), alice));
      await host.until(() => host.asked.length === waiting.length);
    }
    expect(pool.pool.list()[0]?.inFlight).toBe(0);
    const notes = textOf((await pool.pool.execute(call("note", { text: "in between" }), alice)).value);
    expect(notes).toContain("in between");
    resolve({ action: "decline" });
    for (const { value } of await Promise.all(waiting)) expect(textOf(value)).toBe('{"action":"decline"}');
    expect(pool.pool.list()[0]?.inFlight).toBe(0);
  });

  test("withdraws a question", async () => {
    await using server = await start();
    const host = new TestHost();
    await using pool = await open(server.profile, host);
    host.answer = unanswered;
    const answer = pool.pool.execute(ask("elicitation/create", { message: "?" }), alice);
    await host.until(() => host.asked.length > 0);
    await pool.pool.execute(call("withdraw"), alice);
    expect(textOf((await answer).value)).toContain("never mind");
    expect(host.asked[0]?.about.signal.aborted).toBe(true);
  });

  test("is not answered any more when its session ends", async () => {
    await using server = await start();
    const host = new TestHost();
    const pool = await open(server.profile, host);
    host.answer = unanswered;
    const answer = pool.pool.execute(ask("elicitation/create", { message: "?" }), alice);
    answer.catch(() => {});
    await host.until(() => host.asked.length > 0);
    const closed = pool[Symbol.asyncDispose]();
    await meanwhile(pool.clock, () => host.asked[0]?.about.signal.aborted === true);
    await meanwhile(pool.clock, () => host.ended.length > 0);
    await closed;
    await expect(answer).rejects.toThrow(/pool "tools"|carried out|closed/i);
  });

  test("says what belongs to a request, which is known over HTTP", async () => {
    await using server = await start();
    const host = new TestHost();
    await using pool = await open(server.profile, host);
    const requests = ["notifications/message", "notifications/resources/updated", "notifications/unheard-of"].map(
      (method) => call("say", { method, params: { level: "info", data: { method }, uri: "a://b" } }),
    );
    await Promise.all(requests.map((request) => pool.pool.execute(request, alice)));
    await host.until(() => host.said.length === 3);
    for (const request of requests) {
      const { method } = (request.params as { readonly arguments: { readonly method: string } }).arguments;
      const said = host.said.find((one) => one.method === method);
      expect(said?.params).toMatchObject({ data: { method } });
      expect(said?.about).toBe(relates ? request : undefined);
    }
  });

  test("asks what belongs to no request of the one that is under way", async () => {
    await using server = await start();
    const host = new TestHost();
    await using pool = await open(server.profile, host);
    host.answer = () => Promise.resolve({ roots: [] });
    const request = call("ask-alone", { method: "roots/list", params: {} });
    await pool.pool.execute(request, alice);
    expect(host.asked[0]?.about.request).toBe(request);
    await pool.pool.execute(request);
    expect(host.asked[1]?.about.request).toBe(request);
  });

  test("is told what the client says, and asked what belongs to the session", async () => {
    await using server = await start();
    const host = new TestHost();
    await using pool = await open(server.profile, host);
    await pool.pool.execute({ method: "tools/list" }, alice);
    const [session] = host.begun;
    const { signal } = new AbortController();
    expect(await session?.request("logging/setLevel", { level: "error" }, signal)).toEqual({});
    await expect(session?.request("no/such", {}, signal)).rejects.toMatchObject({ code: -32_601 });
    await session?.notify("notifications/roots/list_changed");
    await pool[Symbol.asyncDispose]();
    await session?.notify("notifications/roots/list_changed");
    await expect(session?.request("ping", {}, signal)).rejects.toThrow(/not connected|closed/i);
  });
});

test("a host that answers nothing says so, and one that fails disturbs nobody", async () => {
  await using server = await askingOverHttp("older");
  await using silent = await openPool(
    [{ url: server.url }],
    {},
    {},
    {},
    {},
    {
      client: () => ({
        capabilities: { roots: {} },
        began() {
          throw new Error("no");
        },
        notified() {
          throw new Error("no");
        },
      }),
    },
  );
  const { value } = await silent.pool.execute(ask("roots/list"), alice);
  expect(textOf(value)).toContain("-32601");
  await silent.pool.execute(call("say", { method: "notifications/message", params: { level: "info" } }), alice);
  expect(silent.lines.filter((line) => line.startsWith("error")).length).toBeGreaterThan(0);
});

test("of several requests that share a session, none is taken for the one that a server asks about", async () => {
  const host = new TestHost();
  const pool = await open(program(OLDER), host);
  host.answer = unanswered;
  const stop = new AbortController();
  const { signal } = stop;
  const shared = [1, 2].map(() => pool.pool.execute(ask("elicitation/create", { message: "?" }), { signal }));
  for (const one of shared) one.catch(() => {});
  await host.until(() => host.asked.length === 2);
  expect(host.asked[1]?.about.request).toBeUndefined();
  expect(host.asked[1]?.session.partition).toBe("");
  stop.abort();
  const closed = pool[Symbol.asyncDispose]();
  await meanwhile(pool.clock, () => host.ended.length > 0);
  await closed;
});

test.each(["older", "newer"] as const)("a stream that is interrupted is taken up again (%s)", async (line) => {
  await using server = await askingOverHttp(line);
  const host = new TestHost();
  await using pool = await open({ url: server.url, era: "legacy" }, host);
  host.answer = () => Promise.resolve({ roots: [] });
  const request = ask("roots/list", {}, { interrupted: true });
  const answer = pool.pool.execute(request, alice);
  await meanwhile(pool.clock, () => host.asked.length > 0);
  expect(host.asked[0]?.about.request).toBe(request);
  expect(textOf((await answer).value)).toBe('{"roots":[]}');
});

test("a person may take longer than a stream lasts, however often it breaks off", async () => {
  await using server = await askingOverHttp("older");
  const host = new TestHost();
  await using pool = await open({ url: server.url, era: "legacy" }, host);
  const { promise, resolve } = Promise.withResolvers<Readonly<Record<string, unknown>>>();
  host.answer = () => promise;
  const answer = pool.pool.execute(ask("elicitation/create", { message: "?" }), alice);
  await host.until(() => host.asked.length > 0);
  for (let time = 1; time <= 8; time++) {
    const before = server.streams();
    server.interrupt();
    // The stream of the request, and that of the session.
    await meanwhile(pool.clock, () => server.streams() >= before + 2);
  }
  resolve({ action: "decline" });
  let done = false;
  void answer.finally(() => (done = true)).catch(() => {});
  await meanwhile(pool.clock, () => done);
  expect(textOf((await answer).value)).toBe('{"action":"decline"}');
});

test("a process that dies takes its questions with it, and the next one is another session", async () => {
  const host = new TestHost();
  await using pool = await open(program(OLDER), host);
  host.answer = unanswered;
  const pid = Number(textOf((await pool.pool.execute(call("note", { text: "." }), alice)).value).split(" ")[0]);
  const answer = pool.pool.execute(ask("elicitation/create", { message: "?" }), alice);
  answer.catch(() => {});
  await host.until(() => host.asked.length > 0);
  process.kill(pid, "SIGKILL");
  await expect(answer).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" });
  await host.until(() => host.begun.length === 2);
  expect(host.asked[0]?.about.signal.aborted).toBe(true);
  expect(host.ended).toEqual([host.begun[0]]);
  expect(host.begun[1]).not.toBe(host.begun[0]);
});

test("a question whose request was given up is not asked any more", async () => {
  await using server = await askingOverHttp("older");
  const host = new TestHost();
  await using pool = await open({ url: server.url }, host);
  host.answer = unanswered;
  const stop = new AbortController();
  const answer = pool.pool.execute(ask("elicitation/create", { message: "?" }), { ...alice, signal: stop.signal });
  answer.catch(() => {});
  await host.until(() => host.asked.length > 0);
  stop.abort();
  await expect(answer).rejects.toMatchObject({ code: "CANCELLED" });
  expect(host.asked[0]?.about.signal.aborted).toBe(true);
});
