import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { expect, test } from "vitest";
import { createToken } from "../identity/index.ts";
import { BIN, temporaryFolder } from "../testing/davpool-process.test-support.ts";
import { startHttpServer } from "../testing/http-server.test-support.ts";
import { FeatureClient } from "./testing/feature-client.test-support.ts";
import { startStatefulServer } from "./testing/stateful-server.test-support.ts";
import { Subscriptions } from "./subscriptions.ts";

test("a client of 2026-07-28 hears of the resources that its stream asks for, and of no others", async () => {
  await using server = await startStatefulServer();
  await using davpool = await startHttpServer(
    {
      pools: {
        a: { transport: "mcp", servers: [{ serverId: "s", url: server.url }] },
        b: { transport: "mcp", servers: [{ serverId: "s", url: server.url }] },
      },
    },
    { systemTime: true },
  );
  const connect = () =>
    FeatureClient.connect("2.x, 2026-07-28", new StreamableHTTPClientTransport(new URL(davpool.url)));
  await using one = await connect();
  await using other = await connect();
  await one.client.listTools();
  const subscribed = server.subscribed("state:///x");
  const stream = await one.client.listen({ resourceSubscriptions: ["a+state:///x"] });
  await other.client.listen({ resourceSubscriptions: ["a+state:///y"] });
  await subscribed;
  await one.call("a__remember", { value: "x" });
  await one.call("a__shout");
  await one.call("b__remember", { value: "x" });
  await one.call("b__shout");
  expect(await one.hears("notifications/resources/updated")).toMatchObject({ uri: "a+state:///x" });
  const unsubscribed = server.unsubscribed("state:///x");
  await stream.close();
  await unsubscribed;
  expect(one.heard.filter(({ method }) => method === "notifications/resources/updated")).toHaveLength(1);
  expect(other.heard.filter(({ method }) => method === "notifications/resources/updated")).toHaveLength(0);
});

test("nobody hears of resources of a pool that is not theirs", async () => {
  await using server = await startStatefulServer();
  const [alice, bob] = [createToken(), createToken()];
  const pool = { transport: "mcp", servers: [{ serverId: "s", url: server.url }] };
  await using davpool = await startHttpServer(
    {
      pools: { a: pool, b: pool },
      identity: {
        tokens: [
          { principal: "alice", hash: alice.hash, scopes: ["a"] },
          { principal: "bob", hash: bob.hash, scopes: ["b"] },
        ],
        scopes: { a: { pools: ["a"] }, b: { pools: ["b"] } },
      },
    },
    { systemTime: true },
  );
  const connect = (token: string) => {
    const requestInit = { headers: { authorization: `Bearer ${token}` } };
    return FeatureClient.connect(
      "2.x, 2026-07-28",
      new StreamableHTTPClientTransport(new URL(davpool.url), { requestInit }),
    );
  };
  await using hers = await connect(alice.token);
  await using his = await connect(bob.token);
  const uris = { resourceSubscriptions: ["a+state:///x", "b+state:///x"] };
  const subscribed = server.subscribed("state:///x");
  await Promise.all([hers.client.listen(uris), his.client.listen(uris)]);
  await subscribed;
  await server.updated("state:///x");
  expect(await hers.hears("notifications/resources/updated")).toMatchObject({ uri: "a+state:///x" });
  expect(await his.hears("notifications/resources/updated")).toMatchObject({ uri: "b+state:///x" });
  for (const [client, other] of [
    [hers, "b+state:///x"],
    [his, "a+state:///x"],
  ] as const)
    expect(JSON.stringify(client.heard)).not.toContain(other);
});

test("a client of 2026-07-28 over pipes hears of them as well", async () => {
  await using server = await startStatefulServer();
  await using folder = await temporaryFolder();
  await writeFile(
    join(folder.path, "davpool.config.json"),
    JSON.stringify({
      store: "memory",
      pools: { a: { transport: "mcp", servers: [{ serverId: "s", url: server.url }] } },
    }),
  );
  const parameters = { command: process.execPath, args: [BIN, "serve"], cwd: folder.path, stderr: "ignore" as const };
  await using client = await FeatureClient.connect("2.x, 2026-07-28", new StdioClientTransport(parameters));
  await client.client.listTools();
  const subscribed = server.subscribed("state:///x");
  const stream = await client.client.listen({ resourceSubscriptions: ["state:///x"] });
  await subscribed;
  await server.updated("state:///x");
  expect(await client.hears("notifications/resources/updated")).toMatchObject({ uri: "state:///x" });
  const unsubscribed = server.unsubscribed("state:///x");
  await stream.close();
  await unsubscribed;
});

test("what is shared is given up by the last one only", () => {
  const subscriptions = new Subscriptions();
  const streams = Symbol("streams");
  subscriptions.add("p", "u", streams);
  subscriptions.add("p", "u", streams);
  subscriptions.add("p", "u", "session");
  subscriptions.add("p", "u", "session");
  expect(subscriptions.remove("p", "u", "session")).toBe(false);
  expect(subscriptions.remove("p", "u", streams)).toBe(false);
  expect(subscriptions.remove("p", "u", streams)).toBe(true);
  subscriptions.add("p", "u", "gone");
  subscriptions.forget("gone");
  expect(subscriptions.remove("p", "u", "anybody")).toBe(true);
});
