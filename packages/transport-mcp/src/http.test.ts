import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { isDavpoolError, type ManualClock } from "@davpool/core";
import { createMcpServer, createWebDavServer } from "@davpool/testkit";
import { describe, expect, test } from "vitest";
import { TIMEOUT, meanwhile, openPool, textOf } from "./testing/pool.test-support.ts";
import type { McpRequest } from "./wire.ts";

const call = (name: string, args: object = {}): McpRequest => ({
  method: "tools/call",
  params: { name, arguments: args },
  ...(name === "read" && { annotations: { readOnlyHint: true } }),
  ...(name === "put" && { annotations: { idempotentHint: true } }),
});

async function errorOf(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await work;
  } catch (error) {
    if (isDavpoolError(error)) return error;
    throw error;
  }
  return { code: "none", message: "no error" };
}

describe("a server over HTTP", () => {
  test.each([
    ["legacy", "json"],
    ["legacy", "stream"],
    ["modern", "json"],
    ["modern", "stream"],
    ["both", "json"],
  ] as const)("of era %s that answers with %s", async (era, answersAs) => {
    await using server = await createMcpServer({ transport: "http", era, answersAs });
    {
      await using open = await openPool([{ url: server.url }]);
      const steps: number[] = [];
      const request = {
        ...call("add", { steps: 2 }),
        onProgress: (step: { progress: number }) => steps.push(step.progress),
      };
      expect(textOf((await open.pool.execute(request)).value)).toBe('server-1 add {"steps":2}');
      expect(steps).toEqual([1, 2]);
      const read = await open.pool.execute({ method: "resources/read", params: { uri: "test://ä" } });
      expect(read.value.result?.["contents"]).toEqual([{ uri: "test://ä", text: "server-1 test://ä" }]);
    }
    // The session was ended with its pool; the modern era has none.
    expect(server.log.of("DELETE")).toHaveLength(era === "legacy" ? 1 : 0);
    expect(server.sessions.size).toBe(0);
  });

  test("of the modern era finds the request in its headers as well", async () => {
    await using server = await createMcpServer({ transport: "http", era: "modern" });
    await using open = await openPool([{ url: server.url }]);
    await open.pool.execute(call("read"));
    await open.pool.execute({ method: "prompts/get", params: { name: "grüße" } });
    expect(server.calls[0]?.headers).toMatchObject({ "mcp-method": "tools/call", "mcp-name": "read" });
    expect(server.log.of("prompts/get")[0]?.headers?.["mcp-name"]).toBe(
      `=?base64?${Buffer.from("grüße").toString("base64")}?=`,
    );
  });

  test.each([
    ["until it stands", (held: PromiseWithResolvers<void>) => held.resolve()],
    ["and not for long", (_held: unknown, clock: ManualClock) => clock.advance(1_000)],
  ])("is asked nothing before it can ask: requests wait for its stream, %s", async (_how, goOn) => {
    await using server = await createMcpServer({ transport: "http", era: "legacy" });
    const asked = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    const seen: string[] = [];
    const front = createServer((request, response) => {
      void text(request).then(async (body) => {
        seen.push(body === "" ? String(request.method) : (JSON.parse(body) as { method: string }).method);
        if (request.method === "GET") {
          asked.resolve();
          await held.promise;
          return response.writeHead(405).end();
        }
        const { method = "POST" } = request;
        const headers = Object.entries(request.headers).filter(([name]) => /^(mcp-|accept$|content-type)/.test(name));
        const sent = { method, headers: headers as [string, string][], ...(body !== "" && { body }) };
        const answer = await fetch(server.url, sent);
        return response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
      });
    }).listen(0, "127.0.0.1");
    await once(front, "listening");
    const url = `http://127.0.0.1:${(front.address() as AddressInfo).port}/mcp`;
    {
      await using open = await openPool([{ url }]);
      const calling = open.pool.execute(call("read"));
      await asked.promise;
      // Long enough for a call to arrive that does not wait.
      for (let turn = 0; turn < 5; turn++)
        await (await fetch(url, { method: "POST", body: JSON.stringify({ method: "turn" }) })).text();
      expect(seen).not.toContain("tools/call");
      goOn(held, open.clock);
      expect(textOf((await calling).value)).toBe("server-1 read {}");
    }
    held.resolve();
    front.close();
    front.closeAllConnections();
    await once(front, "close");
  });

  test("with the HTTP+SSE of 2024", async () => {
    await using server = await createMcpServer({ transport: "http", era: "legacy" });
    await using open = await openPool([{ url: server.sseUrl, transport: "sse" }]);
    expect(textOf((await open.pool.execute(call("add"))).value)).toBe("server-1 add {}");
    // Its stream breaks: what waits is not answered any more, and a new session begins.
    server.inject({ kind: "hang", on: "call" });
    const waiting = errorOf(open.pool.execute(call("add", { late: true })));
    await server.log.received("add", 2);
    server.loseSessions();
    server.clearFaults();
    expect((await waiting).code).toBe("OUTCOME_UNKNOWN");
    expect(textOf((await open.pool.execute(call("add"))).value)).toBe("server-1 add {}");
    expect(server.sessionsBegun).toBe(2);
  });

  test("tells of changed lists by the stream of its session", async () => {
    await using server = await createMcpServer({ transport: "http", era: "legacy" });
    await using open = await openPool([{ url: server.url }]);
    await open.pool.execute(call("read"));
    await server.log.until(() => [...server.sessions.values()].some(Boolean));
    server.changeTools([]);
    while (open.events.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(open.events).toEqual([{ serverId: "s1", partition: "", method: "notifications/tools/list_changed" }]);
  });
});

describe("the era of a server", () => {
  test("that is older is found out again when its time has passed", async () => {
    await using server = await createMcpServer({ transport: "http", era: "legacy" });
    await using open = await openPool([{ url: server.url }], {}, { eraMemory: "1m" });
    for (const asked of [1, 1, 2]) {
      await open.pool.execute(call("read"));
      expect(server.log.of("server/discover")).toHaveLength(asked);
      server.loseSessions();
      if (asked === 1) open.clock.advance(31_000);
    }
  });

  test("that was replaced by an older one is found out at once", async () => {
    await using server = await createMcpServer({ transport: "http", era: "modern" });
    await using open = await openPool([{ url: server.url }]);
    await open.pool.execute(call("add"));
    await server.stop();
    const port = Number(new URL(server.url).port);
    await using older = await createMcpServer({ transport: "http", era: "legacy", name: "old", port });
    expect(older.sessionsBegun).toBe(0);
    // The first attempt may meet a socket of the former one.
    expect(textOf((await open.pool.execute(call("put"))).value)).toBe("old put {}");
  });
});

describe("a lost session", () => {
  test("is begun anew once, whoever asks, and nothing is lost or done twice", async () => {
    await using server = await createMcpServer({ transport: "http", era: "legacy" });
    await using open = await openPool([{ url: server.url }]);
    await open.pool.execute(call("add"));
    server.loseSessions();
    const answers = await Promise.all(Array.from({ length: 8 }, (_none, n) => open.pool.execute(call("add", { n }))));
    expect(answers.map(({ value }) => textOf(value))).toEqual(
      Array.from({ length: 8 }, (_none, n) => `server-1 add {"n":${n}}`),
    );
    expect(answers.every(({ attempts }) => attempts.length === 1)).toBe(true);
    expect(server.sessionsBegun).toBe(2);
    expect(server.log.of("add")).toHaveLength(9);
  });
});

describe("an answer that does not come", () => {
  test.each(["before-head", "in-stream"] as const)("because the connection ends %s", async (when) => {
    await using server = await createMcpServer({ transport: "http", faults: [{ kind: "cut", when }] });
    await using well = await createMcpServer({ transport: "http", name: "well" });
    await using open = await openPool([{ url: server.url }, { url: well.url }]);
    const { value, attempts } = await open.pool.execute(call("put"));
    expect([textOf(value), attempts[0]?.outcome, attempts[0]?.failure?.kind]).toEqual([
      "well put {}",
      "unknown",
      "broken",
    ]);
    expect((await errorOf(open.pool.execute(call("add"), { serverId: "s1" }))).code).toBe("OUTCOME_UNKNOWN");
  });

  test("in time ends the wait, and the server is told", async () => {
    await using server = await createMcpServer({
      transport: "http",
      era: "legacy",
      faults: [{ kind: "hang", on: "call" }],
    });
    await using open = await openPool([{ url: server.url }]);
    const answer = errorOf(open.pool.execute(call("add")));
    await server.log.received("add");
    open.clock.advance(TIMEOUT);
    expect((await answer).code).toBe("OUTCOME_UNKNOWN");
    await server.log.received("notifications/cancelled");
    server.clearFaults();
  });

  test.each([
    ["is too long", { kind: "long-line" }, "ANSWER_TOO_LARGE", /more than 1048576 bytes; raise longestMessage/],
    ["is half a message", { kind: "invalid-json" }, "OUTCOME_UNKNOWN", /no JSON-RPC message/],
  ] as const)("because it %s", async (_what, fault, code, message) => {
    await using server = await createMcpServer({ transport: "http", faults: [fault] });
    await using open = await openPool([{ url: server.url }], {}, { longestMessage: 1_048_576 });
    expect(await errorOf(open.pool.execute(call("add")))).toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });

  test.each(["http", "sse"] as const)("because it is too long for a stream (%s): other calls go on", async (kind) => {
    await using server = await createMcpServer({ transport: "http", answersAs: "stream" });
    const url = kind === "sse" ? server.sseUrl : server.url;
    await using open = await openPool([{ url, transport: kind }], {}, { longestMessage: 1_048_576 });
    const fault = server.inject({ kind: "long-line" });
    expect(await errorOf(open.pool.execute(call("read")))).toMatchObject({ code: "ANSWER_TOO_LARGE" });
    fault.off();
    expect(textOf((await open.pool.execute(call("add"))).value)).toBe("server-1 add {}");
    expect(server.calls).toHaveLength(2);
    expect(server.sessionsBegun).toBeLessThan(2);
  });

  test("because nobody listens: nothing was sent, and the next call tries again at once", async () => {
    await using server = await createMcpServer({ transport: "http" });
    await using open = await openPool([{ url: server.url }]);
    await open.pool.execute(call("add"));
    await server.stop();
    const down = await errorOf(open.pool.execute(call("read")));
    expect([down.code, down.message]).toEqual(["NO_SERVER_AVAILABLE", expect.stringContaining("connection refused")]);
    await server.start();
    expect(textOf((await open.pool.execute(call("add"))).value)).toBe("server-1 add {}");
  });
});

test("a stream that breaks off is taken up where it was, if the server can do that", async () => {
  const seen: string[] = [];
  let called: unknown;
  let resumed = () => {};
  const whenResumed = new Promise<void>((resolve) => (resumed = resolve));
  const listener = createServer((request, response) => {
    void text(request).then((body) => {
      const { method, id } = JSON.parse(body || "{}") as { method?: string; id?: number };
      const last = request.headers["last-event-id"];
      seen.push(`${request.method} ${method ?? ""}${last === undefined ? "" : String(last)}`);
      if (method === "initialize") {
        response.writeHead(200, { "content-type": "application/json", "mcp-session-id": "s" });
        const result = { protocolVersion: "2025-11-25", capabilities: {}, serverInfo: { name: "x", version: "1" } };
        response.end(JSON.stringify({ jsonrpc: "2.0", id, result }));
      } else if (method === "tools/call") {
        response.writeHead(200, { "content-type": "text/event-stream" });
        called = id;
        response.end("id: 7\nretry: 100\ndata: \n\n");
      } else if (last !== undefined) {
        response.writeHead(200, { "content-type": "text/event-stream" });
        const result = { content: [{ text: "late" }] };
        response.end(`data: ${JSON.stringify({ jsonrpc: "2.0", id: called, result })}\n\n`);
        resumed();
      } else response.writeHead(request.method === "GET" ? 405 : 202).end();
    });
  }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  {
    const url = `http://127.0.0.1:${(listener.address() as AddressInfo).port}/mcp`;
    // Time goes on until the stream is taken up again, however long that takes: the call itself must have enough of it.
    await using open = await openPool([{ url, era: "legacy", timeout: 36_000_000 }], { deadline: "10h" });
    const answer = open.pool.execute(call("add"));
    const tick = setInterval(() => open.clock.advance(10), 1);
    await whenResumed;
    clearInterval(tick);
    expect(textOf((await answer).value)).toBe("late");
    expect(seen).toContain("GET 7");
  }
  listener.close();
});

describe("an HTTP answer that is no message", () => {
  test.each([500, 502, 503, 504, 429, 403])(
    "%i is repeated elsewhere where that is allowed, and told otherwise",
    async (status) => {
      await using server = await createMcpServer({
        transport: "http",
        faults: [{ kind: "status", status, headers: { "retry-after": "7" } }],
      });
      await using well = await createMcpServer({ transport: "http", name: "well" });
      await using open = await openPool([{ url: server.url }, { url: well.url }], { strategy: "round-robin" });
      const moved = await open.pool.execute(call("read"));
      expect(textOf(moved.value)).toBe("well read {}");
      expect(moved.attempts[0]).toMatchObject({ outcome: "answered", failure: { code: status } });
      const { value } = await open.pool.execute(call("add"), { serverId: "s1" });
      expect(value.refusal).toMatchObject({ status, retryAfter: "7" });
      if (status === 503 || status === 429) expect(moved.attempts[0]?.failure?.retryAfter).toBe(7_000);
    },
  );

  test("at the beginning of a session says what to do", async () => {
    await using guarded = await createMcpServer({ transport: "http", token: "right" });
    await using files = await createWebDavServer();
    await using open = await openPool([
      { url: guarded.url, token: "hunter2" },
      { url: files.url, era: "legacy" },
    ]);
    const refused = await errorOf(open.pool.execute(call("add"), { serverId: "s1" }));
    expect(refused.message).toContain("it refuses the credentials (HTTP 401); check token, headers or oauth");
    const absent = await errorOf(open.pool.execute(call("add"), { serverId: "s2" }));
    expect(absent.message).toContain("there is no MCP endpoint at its address (HTTP 405)");
    expect(refused.message + open.lines.join("\n")).not.toContain("hunter2");
  });
});

describe("credentials", () => {
  test("a token and headers come from where the profile says", async () => {
    await using server = await createMcpServer({ transport: "http", token: "hunter2" });
    await using open = await openPool(
      [{ url: server.url, token: { env: "TOKEN" }, headers: { "X-Tenant": { env: "TENANT" } } }],
      {},
      {},
      { TOKEN: "hunter2", TENANT: "blue" },
    );
    await open.pool.execute(call("add"));
    expect(server.calls[0]?.headers).toMatchObject({ authorization: "Bearer hunter2", "x-tenant": "blue" });
    expect(JSON.stringify(open.pool.list()) + open.lines.join("\n")).not.toMatch(/hunter2|blue/);
  });

  test.each(["tokenUrl", "issuer"] as const)(
    "client credentials by %s are fetched once, and anew when refused or old",
    async (by) => {
      let tokens = 0;
      const bodies: string[] = [];
      const authority = createServer((request, response) => {
        const origin = `http://${request.headers.host}`;
        void text(request).then((body) => {
          if (request.url === "/.well-known/oauth-authorization-server")
            response.end(JSON.stringify({ issuer: origin, token_endpoint: `${origin}/token` }));
          else {
            bodies.push(`${request.headers.authorization} ${body}`);
            response.end(JSON.stringify({ access_token: `token-${++tokens}`, token_type: "Bearer", expires_in: 300 }));
          }
        });
      }).listen(0, "127.0.0.1");
      await once(authority, "listening");
      const origin = `http://127.0.0.1:${(authority.address() as AddressInfo).port}`;
      await using server = await createMcpServer({ transport: "http", era: "modern", token: "token-1" });
      const place = by === "issuer" ? { issuer: origin } : { tokenUrl: `${origin}/token` };
      const oauth = { ...place, clientId: "davpool", clientSecret: { env: "SECRET" }, scopes: ["a", "b"] };
      {
        await using open = await openPool([{ url: server.url, oauth }], {}, {}, { SECRET: "hunter2" });
        await Promise.all([open.pool.execute(call("add")), open.pool.execute(call("add"))]);
        expect(tokens).toBe(1);
        const basic = `Basic ${Buffer.from("davpool:hunter2").toString("base64")}`;
        expect(bodies[0]).toContain(`${basic} grant_type=client_credentials`);
        expect(new URLSearchParams(bodies[0]?.split(" ")[2]).get("scope")).toBe("a b");

        server.token = "token-2";
        expect(textOf((await open.pool.execute(call("add"))).value)).toBe("server-1 add {}");
        expect([tokens, server.calls.length]).toEqual([2, 3]);

        open.clock.advance(280_000);
        server.token = "token-3";
        await open.pool.execute(call("add"));
        expect(tokens).toBe(3);

        // Whatever it gives is refused: that is said, and not asked for without end.
        server.token = "none";
        const { value } = await open.pool.execute(call("add"));
        expect([value.refusal?.status, tokens]).toEqual([401, 4]);
      }
      authority.close();
    },
  );
});

describe("a stream for what the server says of its own accord", () => {
  /** What the GETs for the stream are answered with; all else goes to a server. */
  async function streaming(answer: (count: number) => { readonly status: number; readonly type?: string }) {
    const server = await createMcpServer({ transport: "http", era: "legacy" });
    let asked = 0;
    const front = createServer((request, response) => {
      void text(request).then(async (body) => {
        if (request.method === "GET") {
          const { status, type } = answer(++asked);
          return response.writeHead(status, type === undefined ? {} : { "content-type": type }).end("<html>");
        }
        const { method = "POST" } = request;
        const headers = Object.entries(request.headers).filter(([name]) => /^(mcp-|accept$|content-type)/.test(name));
        const sent = { method, headers: headers as [string, string][], ...(body !== "" && { body }) };
        const given = await fetch(server.url, sent);
        return response.writeHead(given.status, Object.fromEntries(given.headers)).end(await given.text());
      });
    }).listen(0, "127.0.0.1");
    await once(front, "listening");
    const url = `http://127.0.0.1:${(front.address() as AddressInfo).port}/mcp`;
    const open = await openPool([{ url }]);
    await open.pool.execute(call("read"));
    return {
      clock: open.clock,
      asked: () => asked,
      async [Symbol.asyncDispose]() {
        await open[Symbol.asyncDispose]();
        front.close();
        front.closeAllConnections();
        await server[Symbol.asyncDispose]();
      },
    };
  }
  test.each([
    ["a page of HTML", { status: 200, type: "text/html" }],
    ["a stream that ends at once", { status: 200, type: "text/event-stream" }],
    ["a conflict", { status: 409 }],
  ])("is asked for ever more seldom where it is %s", async (_what, answer) => {
    await using stream = await streaming(() => answer);
    const began = stream.clock.now();
    await meanwhile(stream.clock, () => stream.asked() === 5);
    expect(stream.clock.now() - began).toBeGreaterThanOrEqual(2_000 + 4_000 + 8_000 + 16_000);
  });

  test("is not asked for again where the server has none", async () => {
    await using stream = await streaming(() => ({ status: 405 }));
    let passed = 0;
    await meanwhile(stream.clock, () => ++passed > 5_000);
    expect(stream.asked()).toBe(1);
  });
});

test.each([307, 308])("a redirect %i within the origin is followed, and none to another one", async (status) => {
  await using server = await createMcpServer({ transport: "http", token: "hunter2" });
  const seen: (string | undefined)[] = [];
  const elsewhere = createServer((request, response) => {
    seen.push(request.headers.authorization);
    response.end();
  }).listen(0, "127.0.0.1");
  await once(elsewhere, "listening");
  let location = "/mcp";
  const front = createServer((request, response) => {
    if (request.url === "/mcp/") return response.writeHead(status, { location }).end();
    return void text(request).then(async (body) => {
      const headers = Object.entries(request.headers).filter(([name]) =>
        /^(mcp-|accept$|auth|content-type)/.test(name),
      );
      const sent = {
        method: request.method ?? "POST",
        headers: headers as [string, string][],
        ...(body !== "" && { body }),
      };
      const given = await fetch(server.url, sent);
      response.writeHead(given.status, Object.fromEntries(given.headers)).end(await given.text());
    });
  }).listen(0, "127.0.0.1");
  await once(front, "listening");
  const url = `http://127.0.0.1:${(front.address() as AddressInfo).port}/mcp/`;
  {
    await using open = await openPool([{ url, token: "hunter2" }]);
    expect(textOf((await open.pool.execute(call("add"))).value)).toBe("server-1 add {}");
    location = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/mcp`;
    expect((await open.pool.execute(call("add"))).value.refusal?.status).toBe(status);
  }
  expect(seen).toEqual([]);
  for (const one of [front, elsewhere]) {
    one.close();
    one.closeAllConnections();
  }
});
