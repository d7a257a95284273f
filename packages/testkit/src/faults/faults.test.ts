import { describe, expect, test } from "vitest";
import { ManualClock } from "../manual-clock.ts";
import { createWebDavServer } from "../server.ts";
import type { WebDavServer } from "../server.ts";

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
