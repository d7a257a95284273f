import { fileURLToPath } from "node:url";
import { createMcpServer } from "@davpool/testkit";
import { expect, test } from "vitest";
import { TestHost } from "./testing/client.test-support.ts";
import { tellingOverHttp } from "./testing/sdk-http.test-support.ts";
import { meanwhile, openPool } from "./testing/pool.test-support.ts";

/* What servers of the modern era tell of their own accord. */

const program = fileURLToPath(new URL("testing/telling-v2-stdio.test-support.ts", import.meta.url));
const LIST = { method: "tools/list" } as const;

const subscribe = (uri: string) => ({ method: "resources/subscribe", params: { uri } }) as const;
const unsubscribe = (uri: string) => ({ method: "resources/unsubscribe", params: { uri } }) as const;

/** What was said, without what belongs to the protocol. */
const said = (host: TestHost) =>
  host.said.map(({ method, params }) => `${method.replace("notifications/", "")} ${JSON.stringify(params ?? {})}`);

test("changes of lists and of resources that were subscribed to are heard, as in the older era", async () => {
  await using server = await tellingOverHttp();
  const host = new TestHost();
  await using open = await openPool([{ url: server.url }], {}, {}, {}, {}, host);
  await open.pool.execute(LIST);
  const { notify } = server.handler;
  for (const uri of ["test://a", "test://b"])
    expect((await open.pool.execute(subscribe(uri))).value).toEqual({ result: {} });
  notify.toolsChanged();
  notify.promptsChanged();
  notify.resourcesChanged();
  for (const uri of ["test://a", "test://b", "test://c"]) notify.resourceUpdated(uri);
  await host.until(() => host.said.length === 4);
  expect(said(host)).toEqual([
    "tools/list_changed {}",
    "resources/list_changed {}",
    'resources/updated {"uri":"test://a"}',
    'resources/updated {"uri":"test://b"}',
  ]);
  expect(host.said.every(({ about, session }) => about === undefined && session.era === "modern")).toBe(true);
  expect((await open.pool.execute(unsubscribe("test://a"))).value).toEqual({ result: {} });
  notify.resourceUpdated("test://a");
  notify.resourceUpdated("test://b");
  await host.until(() => host.said.length === 5);
  expect(said(host).at(-1)).toBe('resources/updated {"uri":"test://b"}');
  expect((await open.pool.execute({ method: "resources/subscribe" })).value.error).toMatchObject({ code: -32_602 });
});

test("the session itself can subscribe", async () => {
  await using server = await tellingOverHttp();
  const host = new TestHost();
  await using open = await openPool([{ url: server.url }], {}, {}, {}, {}, host);
  await open.pool.execute(LIST);
  const { signal } = new AbortController();
  expect(await host.begun[0]?.request("resources/subscribe", { uri: "test://a" }, signal)).toEqual({});
  server.handler.notify.resourceUpdated("test://a");
  await host.until(() => host.said.length === 1);
});

test("the stream is opened anew when it ends, with growing pauses, and tells what it did before", async () => {
  await using server = await tellingOverHttp();
  const host = new TestHost();
  await using open = await openPool([{ url: server.url }], {}, {}, {}, {}, host);
  await open.pool.execute(LIST);
  await open.pool.execute(subscribe("test://a"));
  const { pending } = open.clock;
  for (let time = 1; time <= 3; time++) {
    server.interrupt();
    await meanwhile(open.clock, () => {
      server.handler.notify.resourceUpdated("test://a");
      return host.said.length >= time;
    });
    host.said.length = time;
  }
  const pauses = open.lines
    .filter((line) => line.includes("does not tell"))
    .map((line) => /"next":(\d+)/.exec(line)?.[1]);
  expect(pauses.slice(0, 3)).toEqual(["750", "1500", "3000"]);
  expect(open.clock.pending).toBeLessThanOrEqual(pending + 1);
});

test("over pipes, too", async () => {
  const host = new TestHost();
  await using open = await openPool([{ command: [process.execPath, program] }], {}, {}, {}, {}, host);
  await open.pool.execute(subscribe("test://b"));
  await open.pool.execute(LIST);
  await host.until(() => host.said.length === 2);
  expect(said(host)).toEqual(["tools/list_changed {}", 'resources/updated {"uri":"test://b"}']);
  await open.pool.execute(unsubscribe("test://b"));
  await open.pool.execute(LIST);
  await host.until(() => host.said.length === 3);
  expect(said(host).at(-1)).toBe("tools/list_changed {}");
});

test.each(["http", "stdio"] as const)("a server that knows no such thing is asked once (%s)", async (transport) => {
  await using server = await createMcpServer({ transport: transport as "http", era: "modern" });
  const profile = server.url === undefined ? { command: server.command } : { url: server.url };
  await using open = await openPool([profile]);
  await open.pool.execute(LIST);
  await server.log.received("subscriptions/listen");
  expect((await open.pool.execute(subscribe("test://a"))).value.error).toMatchObject({ code: -32_601 });
  open.clock.advance(600_000);
  await open.pool.execute(LIST);
  expect(server.log.of("subscriptions/listen")).toHaveLength(2);
});
