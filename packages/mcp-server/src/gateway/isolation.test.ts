import { createManualClock } from "@davpool/core";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { describe, expect, test } from "vitest";
import { startHttpServer } from "../testing/http-server.test-support.ts";
import { FeatureClient } from "./testing/feature-client.test-support.ts";
import { STATEFUL_COMMAND, startStatefulServer } from "./testing/stateful-server.test-support.ts";

const ROUNDS = 3;
/** Clients that call at the same time. More would wait for each other beyond the limits of the SDK. */
const AT_ONCE = 20;
/** Milliseconds. Hundreds of calls at once take long on a busy machine. */
const LIMIT = 240_000;

const textOf = (result: Readonly<Record<string, unknown>>) =>
  JSON.parse((result["content"] as [{ text: string }])[0].text) as unknown;

async function connect(url: string, marker: string): Promise<FeatureClient> {
  return FeatureClient.connect("2.x, 2025-11-25", new StreamableHTTPClientTransport(new URL(url)), {
    answers: {
      "sampling/createMessage": () => ({ role: "assistant", model: "m", content: { type: "text", text: marker } }),
    },
  });
}

/** Uses everything in which a value could go astray. */
async function use(client: FeatureClient, marker: string): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const value = `${marker}-${round}`;
    await client.call("remember", { value });
    const [recalled, answered] = await Promise.all([client.call("recall"), client.call("ask"), client.call("shout")]);
    expect(textOf(recalled)).toBe(value);
    expect(textOf(answered)).toBe(marker);
  }
}

/** Whatever a client has heard is about itself. */
function check(client: FeatureClient, marker: string): void {
  const all = JSON.stringify([client.heard, client.asked]);
  for (const [found] of all.matchAll(/user-\d+/g)) expect(found).toBe(marker);
}

test.each(["2.x, 2025-11-25", "2.x, 2026-07-28"] as const)(
  "calls that wait for people hold no slot: others are answered meanwhile (%s)",
  async (kind) => {
    await using server = await startStatefulServer();
    await using davpool = await startHttpServer(
      {
        pools: {
          state: {
            transport: "mcp",
            limits: { queue: false },
            servers: [{ serverId: "s", url: server.url, maxConnections: 2 }],
          },
        },
      },
      { systemTime: true },
    );
    const asked = Array.from({ length: 5 }, () => Promise.withResolvers<void>());
    const { promise, resolve } = Promise.withResolvers<Readonly<Record<string, unknown>>>();
    const clients: FeatureClient[] = [];
    const waiting: Promise<Readonly<Record<string, unknown>>>[] = [];
    for (const { promise: whenAsked, resolve: isAsked } of asked) {
      const answer = () => {
        isAsked();
        return promise;
      };
      const answers = { "sampling/createMessage": answer };
      const transport = new StreamableHTTPClientTransport(new URL(davpool.url));
      const client = await FeatureClient.connect(kind, transport, { answers });
      clients.push(client);
      waiting.push(client.call("consult"));
      await whenAsked;
    }
    const other = await connect(davpool.url, "other");
    await other.call("remember", { value: "in between" });
    expect(textOf(await other.call("recall"))).toBe("in between");
    resolve({ role: "assistant", model: "m", content: { type: "text", text: "at last" } });
    for (const result of await Promise.all(waiting)) expect(textOf(result)).toBe("at last");
    for (const client of [...clients, other]) await client[Symbol.asyncDispose]();
  },
);

describe("what one client's session knows", () => {
  test("no other of 200 ever sees, over HTTP", async () => {
    await using server = await startStatefulServer();
    await using davpool = await startHttpServer(
      {
        sessions: { perPrincipal: 1_000, total: 1_000 },
        pools: {
          state: {
            transport: "mcp",
            servers: [{ serverId: "s", url: server.url, maxConnections: 1_000, timeout: LIMIT }],
          },
        },
      },
      { systemTime: true },
    );
    const markers = Array.from({ length: 200 }, (_, number) => `user-${number}`);
    const clients = await Promise.all(markers.map((marker) => connect(davpool.url, marker)));
    for (let first = 0; first < clients.length; first += AT_ONCE)
      await Promise.all(
        clients.slice(first, first + AT_ONCE).map((client, number) => use(client, markers[first + number] as string)),
      );
    for (const [number, client] of clients.entries()) {
      const marker = markers[number] as string;
      check(client, marker);
      expect(client.asked.filter(({ method }) => method === "sampling/createMessage")).toHaveLength(ROUNDS);
      const message = await client.hears("notifications/message", ({ data }) => data === `${marker}-${ROUNDS - 1}`);
      expect(message["_meta"]).toEqual({ "davpool/source": { pool: "state", server: "s" } });
    }
    // One for each, and one for what all share.
    expect(server.sessions.size).toBe(201);
    const sessions = clients.map(({ client }) => client.transport as StreamableHTTPClientTransport);
    await Promise.all(sessions.map((transport) => transport.terminateSession()));
    await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()));
    await davpool.released();
    await expect.poll(() => server.sessions.size).toBe(1);
  });

  test("no other of 10 ever sees in processes, of which there are no more than allowed", async () => {
    await using davpool = await startHttpServer(
      {
        pools: {
          state: {
            transport: { type: "mcp", maxProcesses: 11 },
            servers: [{ serverId: "s", command: STATEFUL_COMMAND, timeout: LIMIT }],
          },
        },
      },
      { systemTime: true },
    );
    const markers = Array.from({ length: 10 }, (_, number) => `user-${number}`);
    const clients = await Promise.all(markers.map((marker) => connect(davpool.url, marker)));
    await Promise.all(clients.map((client, number) => use(client, markers[number] as string)));
    for (const [number, client] of clients.entries()) check(client, markers[number] as string);
    const pids = await Promise.all(clients.map(async (client) => textOf(await client.call("pid"))));
    expect(new Set(pids).size).toBe(10);

    await using late = await connect(davpool.url, "user-10");
    await expect(late.call("recall")).rejects.toMatchObject({
      code: -32_003,
      message: expect.stringContaining("maxProcesses") as string,
    });
    const [first] = clients as [FeatureClient];
    await (first.client.transport as StreamableHTTPClientTransport).terminateSession();
    await davpool.released();
    expect(textOf(await late.call("recall"))).toBeNull();
    for (const client of clients) await client[Symbol.asyncDispose]();
  });

  test("leaves nothing behind when it ends while calls are on the way", async () => {
    await using server = await startStatefulServer();
    await using davpool = await startHttpServer(
      {
        sessions: { perPrincipal: 100, total: 100 },
        pools: {
          state: {
            transport: "mcp",
            servers: [{ serverId: "s", url: server.url, maxConnections: 100, timeout: LIMIT }],
          },
        },
      },
      // Where time goes on, a server that is slow to hear of the end of a session is not waited for.
      { systemTime: true, poolClock: createManualClock() },
    );
    const end = async (number: number) => {
      const client = await connect(davpool.url, `user-${number}`);
      // Its first call opens its session with the server.
      const calls = [client.call("recall"), client.call("recall")].map((call) => call.catch(() => undefined));
      for (let turn = 0; turn < number; turn++) await new Promise(setImmediate);
      await (client.client.transport as StreamableHTTPClientTransport).terminateSession();
      await client[Symbol.asyncDispose]();
      await Promise.all(calls);
    };
    await Promise.all(Array.from({ length: 40 }, (_, number) => end(number)));
    await davpool.released();
    // The one that all share.
    expect(server.sessions.size).toBe(1);
  });
});
