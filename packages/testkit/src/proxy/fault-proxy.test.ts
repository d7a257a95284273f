import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { describe, expect, expectTypeOf, test } from "vitest";
import type { ActiveFault } from "../faults/fault.ts";
import { ManualClock } from "../manual-clock.ts";
import { createWebDavServer } from "../server.ts";
import { createFaultProxy } from "./fault-proxy.ts";
import type { FaultProxy, FaultProxyOptions } from "./fault-proxy.ts";
import type { ProxyFault } from "./proxy-fault.ts";

/** A proxy, one connection through it, and its other end. */
interface Line extends AsyncDisposable {
  readonly proxy: FaultProxy;
  readonly client: End;
  readonly target: End;
}

/** One end of a connection, with everything that has arrived there. */
class End {
  readonly socket: Socket;
  text = "";
  /** The pieces in which it arrived. */
  readonly pieces: string[] = [];
  /** What has become of the connection as seen from here. */
  fate: "open" | "ended" | "reset" = "open";
  #look: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.text += bytes.toString();
      this.pieces.push(bytes.toString());
      this.#look();
    });
    socket.once("end", () => {
      if (this.fate === "open") this.fate = "ended";
      this.#look();
    });
    socket.once("error", () => {
      this.fate = "reset";
      this.#look();
    });
  }

  send(text: string): this {
    this.socket.write(text);
    return this;
  }

  /** Resolves when `text` is all that has arrived. */
  has(text: string): Promise<void> {
    return this.#until(() => this.text === text);
  }

  async is(fate: "ended" | "reset"): Promise<void> {
    await this.#until(() => this.fate !== "open");
    if (this.fate !== fate) throw new Error(`the connection is ${this.fate}, not ${fate}`);
  }

  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#look = () => {
        if (condition()) resolve();
      };
      this.#look();
    });
  }
}

async function line(options: Partial<FaultProxyOptions> = {}): Promise<Line> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const proxy = await createFaultProxy({ target: port, ...options });
  const accepted = once(server, "connection");
  const client = new End(connect({ port: proxy.port, host: "127.0.0.1", allowHalfOpen: true }));
  const [socket] = (await accepted) as [Socket];
  const target = new End(socket);
  return {
    proxy,
    client,
    target,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      client.socket.destroy();
      target.socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

describe("a proxy without faults", () => {
  test("passes requests and answers on, at the target's path", async () => {
    await using server = await createWebDavServer();
    await using proxy = await createFaultProxy({ target: server.url });
    expect(proxy.url).toBe(`http://127.0.0.1:${proxy.port}/dav/`);
    await fetch(`${proxy.url}a.txt`, { method: "PUT", body: "text" });
    const destination = `${proxy.url}b.txt`;
    expect((await fetch(`${proxy.url}a.txt`, { method: "MOVE", headers: { destination } })).status).toBe(201);
    expect(await (await fetch(`${proxy.url}b.txt`)).text()).toBe("text");
    expect(proxy.connectionsAccepted).toBe(server.connectionsAccepted);
    expect(server.requests).toHaveLength(3);
  });

  test("passes large bodies on in both directions", async () => {
    await using server = await createWebDavServer();
    await using proxy = await createFaultProxy({ target: server.url });
    const body = Buffer.alloc(8_000_000, "0123456789abcdef");
    await fetch(`${proxy.url}large`, { method: "PUT", body });
    expect(Buffer.compare(server.tree.read("/large"), body)).toBe(0);
    const read = Buffer.from(await (await fetch(`${proxy.url}large`)).arrayBuffer());
    expect(Buffer.compare(read, body)).toBe(0);
  });

  test("lets a sender wait for a receiver that does not read", async () => {
    await using ends = await line();
    ends.target.socket.pause();
    const { socket } = ends.client;
    const chunk = Buffer.alloc(1 << 20);
    while (socket.write(chunk)) {
      // Buffers take some; then the sender is told to wait.
    }
    for (let sent = 0; sent < 64; sent += 1) socket.write(chunk);
    // Node's own buffer of the sender is what is left when everything on the way is full.
    expect(socket.writableNeedDrain).toBe(true);
    ends.target.socket.resume();
    await once(socket, "drain");
  });

  test.each(["client", "target"] as const)("passes on that the %s has ended, and the answer to that", async (first) => {
    await using ends = await line();
    const [one, other] = first === "client" ? [ends.client, ends.target] : [ends.target, ends.client];
    one.send("question").socket.end();
    await other.is("ended");
    expect(other.text).toBe("question");
    other.send("answer").socket.end();
    await one.is("ended");
    expect(one.text).toBe("answer");
    await ends.proxy.disconnected();
  });

  test.each(["client", "target"] as const)("passes on that the %s has reset the connection", async (first) => {
    await using ends = await line();
    const [one, other] = first === "client" ? [ends.client, ends.target] : [ends.target, ends.client];
    one.send("text");
    await other.has("text");
    one.socket.resetAndDestroy();
    await other.is("reset");
    await ends.proxy.disconnected();
    expect(ends.proxy.connectionsAccepted).toBe(1);
  });

  test("resets connections when the target refuses them", async () => {
    await using server = await createWebDavServer();
    await using proxy = await createFaultProxy({ target: server.port });
    await server.stop();
    await expect(fetch(proxy.url)).rejects.toMatchObject({ cause: { code: "ECONNRESET" } });
  });
});

describe("a proxy's life", () => {
  test("stopping closes connections on both sides, and starting listens on the same port", async () => {
    await using server = await createWebDavServer();
    await using proxy = await createFaultProxy({ target: server.url });
    await fetch(proxy.url);
    await proxy.stop();
    await server.disconnected();
    await expect(fetch(proxy.url)).rejects.toMatchObject({ cause: { code: "ECONNREFUSED" } });
    await proxy.start();
    expect((await fetch(proxy.url)).status).toBe(200);
  });

  test("faults that do not exist are refused", async () => {
    await using proxy = await createFaultProxy({ target: 1 });
    const unknown = JSON.parse('{ "kind": "gremlin" }');
    await expect(proxy.inject(unknown)).rejects.toThrow(/no such fault.*gremlin/);
    expectTypeOf(proxy.inject).returns.resolves.toEqualTypeOf<ActiveFault<ProxyFault>>();
  });
});

describe("refuse and connect-timeout", () => {
  test("come and go like those of a server", async () => {
    await using server = await createWebDavServer();
    await using proxy = await createFaultProxy({ target: server.url });
    await fetch(proxy.url);
    const fault = await proxy.inject({ kind: "refuse" });
    await server.disconnected();
    await expect(fetch(proxy.url)).rejects.toMatchObject({ cause: { code: "ECONNREFUSED" } });
    await fault.off();
    expect((await fetch(proxy.url)).status).toBe(200);
  });

  test.skipIf(process.platform !== "linux")("a connection gets no reply", async () => {
    await using server = await createWebDavServer();
    await using proxy = await createFaultProxy({ target: server.url });
    const fault = await proxy.inject({ kind: "connect-timeout" });
    const waiting = connect(proxy.port, "127.0.0.1");
    // By the time that others have connected and been answered, a reply would have come.
    for (let round = 0; round < 5; round++) expect((await fetch(server.url)).status).toBe(200);
    expect(waiting.connecting).toBe(true);
    // It would try again when the kernel's timer says so.
    waiting.destroy();
    expect(proxy.connectionsAccepted).toBe(0);
    await fault.off();
    expect((await fetch(proxy.url)).status).toBe(200);
  });
});

describe("blackhole", () => {
  test("accepts, reads everything and forwards nothing", async () => {
    await using server = await createWebDavServer();
    await using proxy = await createFaultProxy({ target: server.port });
    const fault = await proxy.inject({ kind: "blackhole" });
    const client = new End(connect(proxy.port, "127.0.0.1"));
    const sent = new Promise((resolve) => client.socket.write(Buffer.alloc(8_000_000), resolve));
    expect(await sent).toBeFalsy();
    expect([proxy.connections, server.connectionsAccepted, fault.hits]).toEqual([1, 0, 1]);
    await fault.off();
    await client.is("reset");
  });

  test("lets go of a client that gives up", async () => {
    await using proxy = await createFaultProxy({ target: 1 });
    await proxy.inject({ kind: "blackhole" });
    const client = connect(proxy.port, "127.0.0.1");
    await proxy.connected();
    client.destroy();
    await proxy.disconnected();
    expect(proxy.connections).toBe(0);
  });

  test("may read nothing, so that the client's bytes pile up", async () => {
    await using proxy = await createFaultProxy({ target: 1 });
    const fault = await proxy.inject({ kind: "blackhole", reads: "nothing" });
    const client = new End(connect(proxy.port, "127.0.0.1"));
    // More than the kernel's buffers hold.
    const written = new Promise((resolve) => client.socket.write(Buffer.alloc(64_000_000), resolve));
    await fault.met();
    await fault.off();
    await client.is("reset");
    expect(await written).toBeInstanceOf(Error);
  });

  test("silences connections that are open", async () => {
    await using ends = await line();
    ends.client.send("heard");
    await ends.target.has("heard");
    const fault = await ends.proxy.inject({ kind: "blackhole", times: 1 });
    ends.client.send("unheard");
    ends.target.send("unheard").socket.end();
    await fault.met();
    await fault.off();
    await ends.client.is("reset");
    await ends.target.is("reset");
    expect([ends.client.text, ends.target.text, fault.hits]).toEqual(["", "heard", 1]);
  });

  test("ends with those that have given up on both sides", async () => {
    await using ends = await line();
    await ends.proxy.inject({ kind: "blackhole" });
    ends.client.socket.end();
    ends.target.socket.end();
    await ends.proxy.disconnected();
    expect([ends.client.text, ends.target.text]).toEqual(["", ""]);
  });
});

describe("half-open", () => {
  test("loses the answer but not the request, and conceals the end", async () => {
    await using ends = await line();
    const fault = await ends.proxy.inject({ kind: "half-open" });
    ends.client.send("question");
    await ends.target.has("question");
    ends.target.send("answer").socket.end();
    ends.client.send("!");
    await ends.target.has("question!");
    expect([ends.client.text, ends.client.fate]).toEqual(["", "open"]);
    await fault.off();
    await ends.client.is("reset");
    expect(ends.client.text).toBe("");
  });

  test("falls silent after so many bytes", async () => {
    await using ends = await line();
    await ends.proxy.inject({ kind: "half-open", afterBytes: 4 });
    ends.target.send("0123456789");
    await ends.client.has("0123");
    ends.target.socket.resetAndDestroy();
    ends.client.socket.end();
    await ends.client.is("ended");
    await ends.proxy.disconnected();
    expect(ends.client.text).toBe("0123");
  });

  test("up: the target hears nothing and goes on talking", async () => {
    await using ends = await line();
    await using fault = await ends.proxy.inject({ kind: "half-open", direction: "up" });
    ends.client.send("question").socket.end();
    await fault.met();
    ends.target.send("greeting");
    await ends.client.has("greeting");
    expect([ends.target.text, ends.target.fate]).toEqual(["", "open"]);
    await fault.off();
    await ends.target.is("reset");
  });

  test("holds an answer of HTTP in the midst of its body", async () => {
    await using server = await createWebDavServer();
    server.tree.write("/large", Buffer.alloc(100_000));
    await using proxy = await createFaultProxy({ target: server.url });
    const fault = await proxy.inject({ kind: "half-open", afterBytes: 50_000, times: 1 });
    const response = await fetch(`${proxy.url}large`);
    const body = response.arrayBuffer();
    await server.idle();
    expect((await (await fetch(`${proxy.url}large`)).arrayBuffer()).byteLength).toBe(100_000);
    await fault.off();
    await expect(body).rejects.toThrow("terminated");
  });
});

describe("reset", () => {
  test.each([
    { direction: "down", afterBytes: 4, client: "0123", target: "question" },
    { direction: "up", afterBytes: 4, client: "", target: "ques" },
    { direction: "up", afterBytes: 0, client: "", target: "" },
  ] as const)("$direction after $afterBytes bytes reaches both sides", async ({ client, target, ...where }) => {
    await using ends = await line();
    const fault = await ends.proxy.inject({ kind: "reset", ...where });
    ends.client.send("question");
    if (where.direction === "down") {
      await ends.target.has("question");
      ends.target.send("0123456789");
    }
    await ends.client.is("reset");
    await ends.target.is("reset");
    expect([ends.client.text, ends.target.text, fault.hits]).toEqual([client, target, 1]);
  });

  test("lets exactly so many bytes pass for as long as no more come", async () => {
    await using ends = await line();
    await ends.proxy.inject({ kind: "reset", direction: "up", afterBytes: 4 });
    ends.client.send("four");
    await ends.target.has("four");
    ends.target.send("answer");
    await ends.client.has("answer");
    ends.client.send("5");
    await ends.client.is("reset");
    expect(ends.target.text).toBe("four");
  });

  test("flaps by connection", async () => {
    await using server = await createWebDavServer();
    await using proxy = await createFaultProxy({ target: server.url });
    await proxy.inject({ kind: "reset", flapping: { fail: 1, answer: 1 } });
    const outcome = (): Promise<unknown> =>
      fetch(proxy.url, { headers: { connection: "close" } }).then(
        ({ status }) => status,
        () => "reset",
      );
    expect([await outcome(), await outcome(), await outcome(), await outcome()]).toEqual(["reset", 200, "reset", 200]);
  });
});

describe("bandwidth", () => {
  test("lets so many bytes a second pass", async () => {
    const clock = new ManualClock();
    await using ends = await line({ clock });
    await using _ = await ends.proxy.inject({ kind: "bandwidth", bytesPerSecond: 40, direction: "both" });
    ends.client.send("question");
    ends.target.send("0123456789");
    await ends.client.has("0123");
    await ends.target.has("ques");
    await clock.scheduled(2);
    clock.advance(99);
    clock.advance(1);
    await ends.client.has("01234567");
    await ends.target.has("question");
    await clock.scheduled(2);
    clock.advance(100);
    await ends.client.has("0123456789");
    expect(ends.client.pieces).toEqual(["0123", "4567", "89"]);
  });

  test("gives way when it is switched off", async () => {
    await using ends = await line({ clock: new ManualClock() });
    const fault = await ends.proxy.inject({ kind: "bandwidth", bytesPerSecond: 1 });
    ends.target.send("0123456789");
    await ends.client.has("0");
    await fault.off();
    await ends.client.has("0123456789");
    expect(ends.client.pieces.slice(0, 1)).toEqual(["0"]);
  });

  test("makes the sender wait", async () => {
    await using ends = await line({ clock: new ManualClock() });
    await ends.proxy.inject({ kind: "bandwidth", bytesPerSecond: 1 });
    const flushed = new Promise<boolean>((resolve) => {
      ends.target.socket.write(Buffer.alloc(64 << 20), (error) => resolve(!error));
    });
    await ends.client.has("\0");
    await ends.proxy.stop();
    expect(await flushed).toBe(false);
  });
});

describe("slicer", () => {
  test("forwards in small pieces", async () => {
    await using ends = await line();
    await using _ = await ends.proxy.inject({ kind: "slicer", bytes: 3 });
    ends.target.send("0123456789");
    await ends.client.has("0123456789");
    expect(ends.client.pieces).toEqual(["012", "345", "678", "9"]);
  });

  test("may wait between them", async () => {
    const clock = new ManualClock();
    await using ends = await line({ clock });
    await using _ = await ends.proxy.inject({ kind: "slicer", bytes: 5, ms: 20, direction: "up" });
    ends.client.send("0123456789");
    await ends.target.has("01234");
    await clock.scheduled();
    clock.advance(20);
    await ends.target.has("0123456789");
    expect(ends.target.pieces).toEqual(["01234", "56789"]);
  });
});

describe("latency", () => {
  test("delivers what is sent, and the end, later", async () => {
    const clock = new ManualClock();
    await using ends = await line({ clock });
    await using _ = await ends.proxy.inject({ kind: "latency", ms: 50, direction: "both" });
    ends.client.send("question");
    await clock.scheduled();
    clock.advance(49);
    expect(ends.target.text).toBe("");
    clock.advance(1);
    await ends.target.has("question");
    ends.target.send("answer").socket.end();
    await clock.scheduled();
    clock.advance(50);
    await ends.client.has("answer");
    await clock.scheduled();
    clock.advance(50);
    await ends.client.is("ended");
  });

  test("without end holds everything until it is switched off", async () => {
    await using ends = await line();
    const fault = await ends.proxy.inject({ kind: "latency", ms: Infinity, direction: "up" });
    ends.client.send("question").socket.end();
    ends.target.send("greeting");
    await ends.client.has("greeting");
    expect(ends.target.text).toBe("");
    await fault.off();
    await ends.target.is("ended");
    expect(ends.target.text).toBe("question");
  });

  test("does not keep one piece waiting for another", async () => {
    const clock = new ManualClock();
    await using ends = await line({ clock });
    await using _ = await ends.proxy.inject({ kind: "latency", ms: 50 });
    ends.target.send("a");
    await clock.scheduled();
    clock.advance(30);
    await ends.proxy.inject({ kind: "slicer", bytes: 100, direction: "up" });
    ends.client.send("in between");
    await ends.target.has("in between");
    ends.target.send("b");
    clock.advance(20);
    await ends.client.has("a");
    await clock.scheduled();
    clock.advance(50);
    await ends.client.has("ab");
    expect(clock.now()).toBe(100);
  });
});

describe("several faults", () => {
  test("act together", async () => {
    const clock = new ManualClock();
    await using ends = await line({ clock });
    await ends.proxy.inject({ kind: "latency", ms: 10 });
    await ends.proxy.inject({ kind: "slicer", bytes: 2 });
    await ends.proxy.inject({ kind: "half-open", afterBytes: 5 });
    ends.target.send("0123456789");
    await clock.scheduled();
    clock.advance(10);
    await ends.client.has("01234");
    expect(ends.client.pieces).toEqual(["01", "23", "4"]);
    ends.client.socket.end();
    await ends.client.is("ended");
  });

  test("are switched off together", async () => {
    await using server = await createWebDavServer();
    await using proxy = await createFaultProxy({ target: server.url });
    await proxy.inject({ kind: "latency", ms: Infinity });
    await proxy.inject({ kind: "half-open", direction: "up" });
    await proxy.inject({ kind: "refuse" });
    await proxy.clearFaults();
    expect((await fetch(proxy.url)).status).toBe(200);
  });
});
