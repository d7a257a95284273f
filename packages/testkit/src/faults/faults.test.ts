import { Agent, request as httpRequest } from "node:http";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { ManualClock } from "../manual-clock.ts";
import { createWebDavServer } from "../server.ts";
import type { WebDavServer } from "../server.ts";
import { ABSURD_RETRY_AFTER, retryAfter } from "./retry-after.ts";

const TEXT = "0123456789";

async function serverWithFile(clock?: ManualClock): Promise<WebDavServer> {
  const server = await createWebDavServer(clock === undefined ? {} : { clock });
  server.tree.write("/f.txt", TEXT);
  return server;
}

interface Outcome {
  readonly status?: number;
  readonly text: string;
  /** Node's code of what went wrong, if anything did. */
  readonly failure?: string;
}

/** Everything that can be seen of an answer: also the part of a body that came before it broke off. */
async function attempt(server: WebDavServer, init: RequestInit = {}, path = "f.txt"): Promise<Outcome> {
  let status: number | undefined;
  let text = "";
  try {
    const response = await fetch(`${server.url}${path}`, init);
    ({ status } = response);
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
    return { status, text };
  } catch (error) {
    return { ...(status === undefined ? {} : { status }), text, failure: codeOf(error) };
  }
}

function codeOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : String(cause);
}

/** One connection, kept alive for as long as it lasts. */
class KeepAliveClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #server: WebDavServer;

  constructor(server: WebDavServer) {
    this.#server = server;
  }

  /** The answer's status, or node's code of what went wrong. */
  delete(path: string): Promise<number | string | undefined> {
    return new Promise((resolve) => {
      httpRequest(`${this.#server.url}${path}`, { method: "DELETE", agent: this.#agent }, (response) => {
        response.resume().once("end", () => resolve(response.statusCode));
      })
        .once("error", (error) => resolve(codeOf(Object.assign(new Error("failed"), { cause: error }))))
        .end();
    });
  }
}

/** Yields each time that `step` resolves, until `outcome` has settled. */
async function* untilSettled(outcome: Promise<unknown>, step: () => Promise<void>): AsyncGenerator<void> {
  const settled = outcome.then(() => "settled" as const);
  while ((await Promise.race([settled, step()])) !== "settled") yield;
}

describe("refuse", () => {
  test("closes the listener and its connections, and opens it again on the same port", async () => {
    await using server = await serverWithFile();
    expect((await attempt(server)).text).toBe(TEXT);
    const fault = await server.inject({ kind: "refuse" });
    expect(server.connections).toBe(0);
    expect(await attempt(server)).toEqual({ text: "", failure: "ECONNREFUSED" });
    await fault.off();
    expect((await attempt(server)).text).toBe(TEXT);
  });

  test("lasts until the last one is off, and does not restart a server that was stopped", async () => {
    await using server = await serverWithFile();
    const [one, other] = [await server.inject({ kind: "refuse" }), await server.inject({ kind: "refuse" })];
    await one.off();
    await one.off();
    expect((await attempt(server)).failure).toBe("ECONNREFUSED");
    await server.stop();
    await other.off();
    expect((await attempt(server)).failure).toBe("ECONNREFUSED");
    await server.start();
    expect((await attempt(server)).status).toBe(200);
  });
});

describe("connect-timeout", () => {
  test.skipIf(process.platform !== "linux")(
    "leaves whoever connects without a reply, and then answers again",
    async () => {
      await using server = await serverWithFile();
      await using other = await serverWithFile();
      const fault = await server.inject({ kind: "connect-timeout" });
      const waiting = connect(server.port, "127.0.0.1");
      // By the time that others have connected and been answered, a reply would have come.
      for (let round = 0; round < 5; round++) expect((await attempt(other)).status).toBe(200);
      expect(waiting.connecting).toBe(true);
      waiting.destroy();
      await server.clearFaults();
      expect((await attempt(server)).text).toBe(TEXT);
      expect(fault.hits).toBe(0);
    },
  );
});

describe("reset", () => {
  test("before-body leaves the request's body unread", async () => {
    await using server = await serverWithFile();
    await using _ = await server.inject({ kind: "reset", when: "before-body" });
    expect(await attempt(server, { method: "PUT", body: "new" })).toEqual({ text: "", failure: "ECONNRESET" });
    expect(server.requests).toMatchObject([{ bodyBytes: 0, status: undefined, faults: ["reset"] }]);
    expect(server.tree.readText("/f.txt")).toBe(TEXT);
  });

  test("mid-request comes after so many bytes of the request's body", async () => {
    await using server = await serverWithFile();
    await using _ = await server.inject({ kind: "reset", when: "mid-request", afterBytes: 4 });
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const outcome = attempt(server, { method: "PUT", body: readable, duplex: "half" });
    await writer.write(new TextEncoder().encode("1234"));
    expect((await outcome).failure).toBe("ECONNRESET");
    expect(server.requests).toMatchObject([{ bodyBytes: 4 }]);
    expect(server.tree.readText("/f.txt")).toBe(TEXT);
  });

  test.each([
    { applied: false, content: TEXT },
    { applied: true, content: "new" },
  ])("after-request loses the request or only its answer: applied $applied", async ({ applied, content }) => {
    await using server = await serverWithFile();
    await using _ = await server.inject({ kind: "reset", when: "after-request", applied });
    expect((await attempt(server, { method: "PUT", body: "new" })).failure).toBe("ECONNRESET");
    expect(server.requests).toMatchObject([{ bodyBytes: 3, status: undefined }]);
    expect(server.tree.readText("/f.txt")).toBe(content);
  });

  test.each([0, 4, 10, 99])("mid-body comes after %d bytes of the answer", async (afterBytes) => {
    await using server = await serverWithFile();
    await using _ = await server.inject({ kind: "reset", when: "mid-body", afterBytes });
    const outcome = await attempt(server);
    expect(outcome).toMatchObject({ status: 200, text: TEXT.slice(0, afterBytes) });
    // Whoever has the whole announced length does not look at the connection any more.
    expect(outcome.failure).toBe(afterBytes < TEXT.length ? "ECONNRESET" : undefined);
    await server.disconnected();
  });
});

describe("delay", () => {
  test("holds the answer for its time", async () => {
    const clock = new ManualClock();
    await using server = await serverWithFile(clock);
    await using _ = await server.inject({ kind: "delay", ms: 250 });
    const outcome = attempt(server, { method: "DELETE" });
    await clock.scheduled();
    clock.advance(249);
    expect(server.requests).toMatchObject([{ status: undefined }]);
    expect(server.tree.exists("/f.txt")).toBe(true);
    clock.advance(1);
    expect((await outcome).status).toBe(204);
  });

  test("takes real time unless the server is given a clock", async () => {
    await using server = await serverWithFile();
    await using _ = await server.inject({ kind: "delay", ms: 20 });
    const start = performance.now();
    expect((await attempt(server)).text).toBe(TEXT);
    // Node's timers may fire up to a millisecond early.
    expect(performance.now() - start).toBeGreaterThan(18);
  });

  test("can let the request take effect before", async () => {
    const clock = new ManualClock();
    await using server = await serverWithFile(clock);
    await using _ = await server.inject({ kind: "delay", ms: 250, applied: true });
    const outcome = attempt(server, { method: "DELETE" });
    await clock.scheduled();
    expect(server.tree.exists("/f.txt")).toBe(false);
    clock.advance(250);
    expect((await outcome).status).toBe(204);
  });

  test("ends at once when it is switched off", async () => {
    await using server = await serverWithFile();
    const fault = await server.inject({ kind: "delay", ms: Infinity });
    const outcome = attempt(server);
    await server.received();
    await fault.off();
    expect((await outcome).text).toBe(TEXT);
  });

  test("drops the request of a client that has left", async () => {
    const clock = new ManualClock();
    await using server = await serverWithFile(clock);
    await using _ = await server.inject({ kind: "delay", ms: 250 });
    const controller = new AbortController();
    const outcome = attempt(server, { method: "DELETE", signal: controller.signal });
    await clock.scheduled();
    controller.abort();
    await outcome;
    await server.idle();
    expect(clock.pending).toBe(0);
    expect(server.tree.exists("/f.txt")).toBe(true);
  });
});

describe("blackhole", () => {
  test.each([
    { applied: false, content: TEXT },
    { applied: true, content: "new" },
  ])("reads the request and never answers: applied $applied", async ({ applied, content }) => {
    await using server = await serverWithFile();
    const fault = await server.inject({ kind: "blackhole", applied });
    const outcome = attempt(server, { method: "PUT", body: "new" });
    await server.received(1, ({ bodyBytes }) => bodyBytes === 3);
    await fault.off();
    expect((await outcome).failure).toMatch(/UND_ERR_SOCKET|ECONNRESET/);
    expect(server.requests).toMatchObject([{ bodyBytes: 3, status: undefined, faults: ["blackhole"] }]);
    expect(server.tree.readText("/f.txt")).toBe(content);
  });
});

describe("status", () => {
  test("answers a burst of requests, and then no more", async () => {
    await using server = await serverWithFile();
    await using fault = await server.inject({
      kind: "status",
      status: 503,
      headers: { "retry-after": "2" },
      body: "busy",
      times: 2,
    });
    const statuses = [await attempt(server), await attempt(server), await attempt(server)];
    expect(statuses.map(({ status, text }) => [status, text])).toEqual([
      [503, "busy"],
      [503, "busy"],
      [200, TEXT],
    ]);
    expect(fault.hits).toBe(2);
    expect(server.requests.map(({ faults }) => faults)).toEqual([["status"], ["status"], []]);
  });

  test("meets only the requests it is meant for", async () => {
    await using server = await serverWithFile();
    await using _ = await server.inject({ kind: "status", status: 500, methods: ["put", "DELETE"], path: "/f*" });
    expect((await attempt(server, { method: "DELETE" })).status).toBe(500);
    expect((await attempt(server)).status).toBe(200);
    expect((await attempt(server, { method: "DELETE" }, "g.txt")).status).toBe(404);
  });

  test.each([
    { applied: false, exists: true },
    { applied: true, exists: false },
  ])("may hide that the request took effect: applied $applied", async ({ applied, exists }) => {
    await using server = await serverWithFile();
    await using _ = await server.inject({ kind: "status", status: 502, applied });
    expect((await attempt(server, { method: "DELETE" })).status).toBe(502);
    expect(server.tree.exists("/f.txt")).toBe(exists);
  });

  test("knows statuses without a body", async () => {
    await using server = await serverWithFile();
    await using _ = await server.inject({ kind: "status", status: 204 });
    expect(await attempt(server)).toEqual({ status: 204, text: "" });
  });
});

describe("truncate", () => {
  test.each([false, true])("cuts the body and closes the connection: chunked %s", async (chunked) => {
    await using server = await serverWithFile();
    await using _ = await server.inject({ kind: "truncate", afterBytes: 4, chunked });
    const response = await fetch(`${server.url}f.txt`);
    expect(response.headers.get("content-length")).toBe(chunked ? null : "10");
    await expect(response.text()).rejects.toThrow("terminated");
    expect(await attempt(server)).toMatchObject({ status: 200, text: "0123", failure: "UND_ERR_SOCKET" });
  });

  test("leaves an answer whole that is no longer than that", async () => {
    await using server = await serverWithFile();
    await using _ = await server.inject({ kind: "truncate", afterBytes: 10 });
    expect(await attempt(server)).toEqual({ status: 200, text: TEXT });
    expect((await attempt(server, { method: "HEAD" })).failure).toBeUndefined();
  });
});

describe("truncate until close", () => {
  test("looks like a whole body", async () => {
    await using server = await serverWithFile();
    await using _ = await server.inject({ kind: "truncate", afterBytes: 4, untilClose: true });
    const response = await fetch(`${server.url}f.txt`);
    expect([response.headers.get("content-length"), response.headers.get("transfer-encoding")]).toEqual([null, null]);
    expect(await response.text()).toBe("0123");
  });
});

describe("slow-headers", () => {
  test("sends so many bytes of the head a second, and then the body", async () => {
    const clock = new ManualClock();
    await using server = await serverWithFile(clock);
    await using _ = await server.inject({ kind: "slow-headers", bytesPerSecond: 200, chunkBytes: 100 });
    const outcome = attempt(server);
    let waits = 0;
    for await (const _ of untilSettled(outcome, () => clock.scheduled())) {
      waits += 1;
      clock.advance(500);
    }
    expect(waits).toBeGreaterThan(1);
    expect(clock.now()).toBe(waits * 500);
    expect(await outcome).toEqual({ status: 200, text: TEXT });
    expect(server.requests).toMatchObject([{ status: 200, faults: ["slow-headers"] }]);
  });

  test("goes on at full speed when it is switched off", async () => {
    await using server = await serverWithFile();
    const fault = await server.inject({ kind: "slow-headers", bytesPerSecond: 1e-9 });
    const outcome = attempt(server, { method: "HEAD" });
    await server.received();
    await fault.off();
    expect(await outcome).toEqual({ status: 200, text: "" });
  });
});

describe("stale-keep-alive", () => {
  test("closes a connection when it brings another request", async () => {
    await using server = await serverWithFile();
    await using fault = await server.inject({ kind: "stale-keep-alive", times: 1 });
    const client = new KeepAliveClient(server);
    expect([await client.delete("f.txt"), await client.delete("g.txt"), await client.delete("g.txt")]).toEqual([
      204,
      "ECONNRESET",
      404,
    ]);
    expect(fault.hits).toBe(1);
    expect(server.requests).toMatchObject([
      { connection: 1, status: 204, faults: [] },
      { connection: 1, status: undefined, faults: ["stale-keep-alive"] },
      { connection: 2, status: 404, faults: [] },
    ]);
  });

  test("closes connections that have been idle for a time", async () => {
    const clock = new ManualClock();
    await using server = await serverWithFile(clock);
    const fault = await server.inject({ kind: "stale-keep-alive", idleMs: 5000 });
    const client = new KeepAliveClient(server);
    await client.delete("f.txt");
    await clock.scheduled();
    clock.advance(4999);
    await client.delete("f.txt");
    await clock.scheduled();
    clock.advance(4999);
    expect([server.connections, server.connectionsAccepted]).toEqual([1, 1]);
    clock.advance(1);
    await server.disconnected();
    const other = new KeepAliveClient(server);
    await other.delete("f.txt");
    await clock.scheduled();
    await fault.off();
    clock.advance(5000);
    expect(await other.delete("f.txt")).toBe(404);
    expect([server.connections, server.connectionsAccepted]).toEqual([1, 2]);
  });
});

describe("a flapping fault", () => {
  test("fails and answers by turns, as far as it is concerned", async () => {
    await using server = await serverWithFile();
    await using fault = await server.inject({
      kind: "status",
      status: 500,
      methods: ["GET"],
      flapping: { fail: 2, answer: 1 },
    });
    const statuses: unknown[] = [];
    for (let round = 0; round < 6; round += 1) {
      statuses.push((await attempt(server)).status);
      await attempt(server, { method: "HEAD" });
    }
    expect(statuses).toEqual([500, 500, 200, 500, 500, 200]);
    expect(fault.hits).toBe(4);
  });

  test("may be one that breaks connections", async () => {
    await using server = await serverWithFile();
    await server.inject({ kind: "reset", when: "after-request", flapping: { fail: 1, answer: 1 } });
    expect((await attempt(server)).failure).toBe("ECONNRESET");
    expect((await attempt(server)).text).toBe(TEXT);
    expect((await attempt(server)).failure).toBe("ECONNRESET");
  });
});

describe("retryAfter", () => {
  test.each([
    { fault: retryAfter(2), status: 503, value: "2" },
    { fault: retryAfter(-1.5, { status: 429 }), status: 429, value: "-1.5" },
    { fault: retryAfter(new Date("2026-01-01T00:00:00Z")), status: 503, value: "Thu, 01 Jan 2026 00:00:00 GMT" },
    ...ABSURD_RETRY_AFTER.map((value) => ({ fault: retryAfter(value), status: 503, value })),
  ])("answers $status with $value", async ({ fault, status, value }) => {
    await using server = await serverWithFile();
    await server.inject(fault);
    const response = await fetch(server.url);
    expect([response.status, response.headers.get("retry-after")]).toEqual([status, value]);
  });

  test("takes everything else that a status fault has", () => {
    expect(retryAfter(1, { times: 2, body: "busy", headers: { "x-a": "1" } })).toEqual({
      kind: "status",
      status: 503,
      headers: { "x-a": "1", "retry-after": "1" },
      body: "busy",
      times: 2,
    });
  });
});

describe("slow-body", () => {
  test("sends so many bytes a second, a chunk at a time", async () => {
    const clock = new ManualClock();
    await using server = await serverWithFile(clock);
    await using _ = await server.inject({ kind: "slow-body", bytesPerSecond: 8, chunkBytes: 4 });
    const response = await fetch(`${server.url}f.txt`);
    const chunks: [number, string][] = [];
    for await (const chunk of response.body ?? []) {
      chunks.push([clock.now(), Buffer.from(chunk).toString()]);
      await clock.scheduled();
      clock.advance(500);
    }
    expect(chunks).toEqual([
      [0, "0123"],
      [500, "4567"],
      [1000, "89"],
    ]);
  });

  test("goes on at full speed when it is switched off", async () => {
    await using server = await serverWithFile();
    const fault = await server.inject({ kind: "slow-body", bytesPerSecond: 1e-9 });
    const response = await fetch(`${server.url}f.txt`);
    await fault.off();
    expect(await response.text()).toBe(TEXT);
  });
});

describe("several faults", () => {
  test("act in the order of a request's life, not in that of their injection", async () => {
    const clock = new ManualClock();
    await using server = await serverWithFile(clock);
    await server.inject({ kind: "truncate", afterBytes: 2 });
    await server.inject({ kind: "status", status: 500, body: "error" });
    await server.inject({ kind: "delay", ms: 100 });
    const outcome = attempt(server);
    await clock.scheduled();
    clock.advance(100);
    expect(await outcome).toMatchObject({ status: 500, text: "er", failure: "UND_ERR_SOCKET" });
  });

  test("are switched off together", async () => {
    await using server = await serverWithFile();
    await server.inject({ kind: "refuse" });
    await server.inject({ kind: "status", status: 500 });
    await server.clearFaults();
    expect(await attempt(server)).toEqual({ status: 200, text: TEXT });
  });

  test("include none that does not exist", async () => {
    await using server = await serverWithFile();
    const unknown = JSON.parse('{ "kind": "gremlin" }');
    await expect(server.inject(unknown)).rejects.toThrow(/no such fault.*gremlin/);
  });
});
