import { describe, expect, test } from "vitest";
import { GET, ScriptedStore, buildPool, flush, openBench } from "../testing/pool-bench.test-support.ts";
import { answer, refuse, stream, type FlowingBody } from "../testing/scripted-transport.test-support.ts";

async function problem(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
  );
}

const ids = (bench: Awaited<ReturnType<typeof openBench>>) => bench.pool.list().map((server) => server.serverId);
const stored = (serverId: string, profile: object = {}, secrets: Record<string, string> = {}) => ({
  serverId,
  profile: { ...profile },
  secrets,
});

describe("adding", () => {
  test("saves the profile with its secrets apart, then lets the server in", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", priority: 4 }, "b"] });
    const status = await bench.pool.add({ serverId: "x", url: "http://x", password: "secret", timeout: 5 });
    expect(bench.store.state.servers).toMatchObject([
      {
        serverId: "x",
        profile: { url: "http://x", timeout: 5, priority: 4, maxConnections: 10, enabled: true },
        secrets: { password: "secret" },
      },
    ]);
    expect(JSON.stringify(bench.store.state.servers[0]?.profile)).not.toContain("secret");
    expect(status).toMatchObject({ serverId: "x", origin: "added", priority: 4, enabled: true });
    expect(JSON.stringify(status)).not.toContain("secret");
    expect(ids(bench)).toEqual(["a", "b", "x"]);
    expect(bench.events).toEqual([{ event: "servers-changed", detail: { serverId: "x", change: "added" } }]);
  });

  test("without a priority joins the lowest tier, also when it is given as undefined", async () => {
    const bench = await openBench({ servers: [{ serverId: "a", priority: 3 }] });
    expect((await bench.pool.add({ serverId: "x", priority: undefined })).priority).toBe(3);
    expect((await bench.pool.add({ serverId: "y", priority: 1 })).priority).toBe(1);
    expect((await (await openBench({ servers: [] })).pool.add({ serverId: "x" })).priority).toBe(1);
  });

  test("an id that is taken, here or by another process, is refused", async () => {
    const bench = await openBench({ servers: ["a"] });
    expect(await problem(bench.pool.add({ serverId: "a" }))).toBe(
      'DUPLICATE_SERVER: There is a server "a" already. Choose another serverId, or update the existing server.',
    );
    bench.store.state = { activeServerId: undefined, servers: [stored("x")] };
    expect(await problem(bench.pool.add({ serverId: "x" }))).toMatch(/^DUPLICATE_SERVER/);
    expect(ids(bench)).toEqual(["a"]);
  });

  test("a wrong profile is refused with everything that is wrong", async () => {
    const bench = await openBench({ servers: [] });
    expect(await problem(bench.pool.add({ serverId: "x", timeout: "1s", prioritty: 2 }))).toMatch(
      /^INVALID_PROFILE: The profile of server "x" is not valid: prioritty: unknown key; known here: serverId, .*, url, password\. Did you mean "priority"\? timeout: must be an integer; got "1s"\.$/,
    );
    expect(bench.store.state.servers).toEqual([]);
  });

  test("a place to read a secret from is refused", async () => {
    const bench = await openBench({ servers: [] });
    expect(await problem(bench.pool.add({ serverId: "x", password: { command: ["cat", "/etc/shadow"] } }))).toMatch(
      /^INVALID_PROFILE: .* password: only the operator's configuration may name a place to read a secret from/,
    );
  });

  test("what the transport refuses does not come in, and what it warns of is logged", async () => {
    const bench = await openBench({ servers: [] });
    bench.transport.admit = (profile, origin) => {
      if (profile.url === "file:") throw new Error(`${origin} servers may not be files`);
      return [`${profile.serverId} is far away`];
    };
    await expect(bench.pool.add({ serverId: "x", url: "file:" })).rejects.toThrow("added servers may not be files");
    await bench.pool.add({ serverId: "y" });
    expect(ids(bench)).toEqual(["y"]);
    expect(bench.lines).toContainEqual({ level: "warn", message: "y is far away" });
  });

  test("a store that fails leaves everything as it was, and the next change goes through", async () => {
    const bench = await openBench({ servers: ["a"] });
    await bench.pool.add({ serverId: "x" });
    bench.store.problem = new Error("disk full");
    bench.events.length = 0;
    await expect(bench.pool.add({ serverId: "y" })).rejects.toThrow("disk full");
    await expect(bench.pool.update("x", { timeout: 1 })).rejects.toThrow("disk full");
    await expect(bench.pool.remove("x")).rejects.toThrow("disk full");
    await expect(bench.pool.activate("x")).rejects.toThrow("disk full");
    await expect(bench.pool.apply([])).rejects.toThrow("disk full");
    expect(ids(bench)).toEqual(["a", "x"]);
    expect(bench.pool.list()[1]?.profile.timeout).toBe(30_000);
    expect([bench.pool.preferredServerId, bench.events]).toEqual(["a", []]);
    bench.store.problem = undefined;
    await bench.pool.add({ serverId: "y" });
    expect(ids(bench)).toEqual(["a", "x", "y"]);
  });
});

describe("updating", () => {
  test("saves the change and applies it", async () => {
    const bench = await openBench({ servers: [] });
    await bench.pool.add({ serverId: "x", group: "eu", password: "one" });
    await bench.pool.add({ serverId: "y" });
    const status = await bench.pool.update("x", { priority: 2, group: undefined, password: "two" });
    expect(status).toMatchObject({ priority: 2, group: undefined });
    expect(bench.store.state.servers[0]).toMatchObject({ profile: { priority: 2 }, secrets: { password: "two" } });
    expect(bench.store.state.servers[0]?.profile).not.toHaveProperty("group");
    expect(bench.events.at(-1)).toEqual({
      event: "servers-changed",
      detail: { serverId: "x", change: "updated" },
    });
    bench.events.length = 0;
    await bench.pool.update("x", { priority: 2 });
    expect(bench.events).toEqual([]);
  });

  test("of a declared server may switch it on and off and nothing else", async () => {
    const bench = await openBench({ servers: ["a"] });
    expect((await bench.pool.update("a", { enabled: false })).enabled).toBe(false);
    expect(bench.store.state.servers).toEqual([]);
    expect(await problem(bench.pool.update("a", { enabled: true, timeout: 1 }))).toBe(
      'SERVER_DECLARED: Server "a" is declared in the configuration and cannot be changed (timeout) here. ' +
        "Change the configuration file or the environment instead.",
    );
    expect(await problem(bench.pool.update("a", { enabled: "no" }))).toMatch(/^INVALID_PROFILE/);
    expect(await problem(bench.pool.remove("a"))).toMatch(/^SERVER_DECLARED: .* cannot be removed here/);
  });

  test("of a server nobody knows, or that another process removed, is refused", async () => {
    const bench = await openBench({ servers: ["a"] });
    expect(await problem(bench.pool.update("x", {}))).toBe(
      'UNKNOWN_SERVER: There is no server "x". Valid server ids: a.',
    );
    await bench.pool.add({ serverId: "x" });
    bench.store.state = { activeServerId: undefined, servers: [] };
    expect(await problem(bench.pool.update("x", { timeout: 1 }))).toMatch(/^UNKNOWN_SERVER/);
    expect(bench.pool.list()[1]?.profile.timeout).toBe(30_000);
  });

  test("reconnects when the address or the limits change, and not when only the engine's fields do", async () => {
    const bench = await openBench({ servers: [] });
    await bench.pool.add({ serverId: "x", url: "http://one", password: "one" });
    await bench.pool.execute(GET);
    await bench.pool.update("x", { priority: 5, timeout: 1_000, retryAttempts: 1, group: "g", enabled: false });
    await bench.pool.update("x", { enabled: true });
    await bench.pool.execute(GET);
    expect([bench.server("x").opened, bench.server("x").closed]).toEqual([1, 0]);
    for (const change of [{ url: "http://two" }, { password: "two" }, { maxConnections: 3 }]) {
      const { opened, closed } = bench.server("x");
      await bench.pool.update("x", change);
      await bench.pool.execute(GET);
      expect([bench.server("x").opened - opened, bench.server("x").closed - closed]).toEqual([1, 1]);
    }
  });

  test("closes the connections of the old address when the last attempt that began there has ended", async () => {
    const bench = await openBench({ servers: [] });
    await bench.pool.add({ serverId: "x", url: "http://one" });
    const bodies: FlowingBody[] = [];
    bench.server("x").behaviour = stream(bodies);
    await bench.pool.execute(GET);
    await bench.pool.update("x", { url: "http://two" });
    await bench.pool.execute(GET);
    expect([bench.server("x").opened, bench.server("x").closed]).toEqual([2, 0]);
    bodies[0]?.end();
    await flush();
    expect(bench.server("x").closed).toBe(1);
    bodies[1]?.end();
    await flush();
    expect(bench.server("x").closed).toBe(1);
    await bench.pool.close();
    expect(bench.server("x").closed).toBe(2);
  });

  test("lets a changed limit serve those who wait", async () => {
    const bench = await openBench({ servers: [] });
    await bench.pool.add({ serverId: "x", maxConnections: 1 });
    const bodies: FlowingBody[] = [];
    bench.server("x").behaviour = stream(bodies);
    const calls = [1, 2, 3].map(() => bench.pool.execute(GET));
    await flush();
    expect(bodies).toHaveLength(1);
    await bench.pool.update("x", { maxConnections: 3 });
    await Promise.all(calls);
    expect(bodies).toHaveLength(3);
  });
});

describe("removing", () => {
  test("tells what the server owned, and forgets it", async () => {
    const bench = await openBench({ servers: ["a"] });
    await bench.pool.add({ serverId: "x" });
    bench.server("x").behaviour = answer(200, { affinity: [{ learn: "lock of x", kind: "lock" }] });
    bench.server("a").behaviour = answer(200, { affinity: [{ learn: "lock of a", kind: "lock" }] });
    for (const serverId of ["a", "x"]) await bench.pool.execute(GET, { serverId });
    expect(await bench.pool.remove("x")).toMatchObject({ lost: ["lock of x"] });
    const bound = { operation: "PUT", repeat: "idempotent" as const, boundTo: ["lock of a"] };
    expect((await bench.pool.execute(bound)).serverId).toBe("a");
  });

  test("does not fail when what it owned cannot be forgotten", async () => {
    const owners = { get: () => undefined, set: () => {}, delete: () => {} };
    const bench = await openBench({
      servers: [],
      affinity: { ...owners, forget: () => Promise.reject(new Error("the store is down")) },
    });
    await bench.pool.add({ serverId: "x" });
    expect(await bench.pool.remove("x")).toMatchObject({ lost: [] });
    expect(bench.lines).toContainEqual({ level: "warn", message: "What a server owned could not be forgotten." });
  });

  test("takes no new attempts, lets those in flight end, then closes the connections", async () => {
    const bench = await openBench({ servers: [] });
    await bench.pool.add({ serverId: "x" });
    const bodies: FlowingBody[] = [];
    bench.server("x").behaviour = stream(bodies);
    await bench.pool.execute(GET);
    const removed = await bench.pool.remove("x");
    expect(removed).toEqual({ serverId: "x", wasActive: false, preferredServerId: undefined, lost: [] });
    expect([bench.store.state.servers, ids(bench)]).toEqual([[], []]);
    expect(await problem(bench.pool.execute(GET))).toMatch(/^NO_SERVER_AVAILABLE: Pool "files" has no servers/);
    expect(bench.server("x").closed).toBe(0);
    bodies[0]?.end();
    await flush();
    expect(bench.server("x").closed).toBe(1);
  });

  test("ends the retries of a call that is bound to the server", async () => {
    const bench = await openBench({ servers: ["a"] });
    await bench.pool.add({ serverId: "x" });
    bench.server("x").behaviour = refuse;
    const call = problem(bench.pool.execute(GET, { serverId: "x" }));
    await flush();
    await bench.pool.remove("x");
    await bench.advance(1_000);
    expect(await call).toMatch(/^NO_SERVER_AVAILABLE/);
    expect([bench.server("x").asked, bench.server("x").opened, bench.server("x").closed]).toEqual([1, 1, 1]);
  });

  test("clears the active server if it was that, and says who is preferred now", async () => {
    const bench = await openBench({ servers: ["a"] });
    await bench.pool.add({ serverId: "x" });
    await bench.pool.activate("x");
    bench.events.length = 0;
    expect(await bench.pool.remove("x")).toEqual({ serverId: "x", wasActive: true, preferredServerId: "a", lost: [] });
    expect(bench.store.state.activeServerId).toBeUndefined();
    expect(bench.events).toEqual([
      { event: "servers-changed", detail: { serverId: "x", change: "removed" } },
      { event: "active-changed", detail: { previousServerId: "x", activeServerId: "a" } },
    ]);
  });
});

describe("activating", () => {
  test("is saved and survives a restart", async () => {
    const store = new ScriptedStore();
    const first = await openBench({ servers: ["a", "b"], store });
    await first.pool.activate("b");
    const second = await openBench({ servers: ["a", "b"], store });
    expect((await second.pool.execute(GET)).serverId).toBe("b");
    const third = await openBench({ servers: ["a"], store });
    expect(third.pool.preferredServerId).toBe("a");
  });

  test("an unknown or a disabled server is refused", async () => {
    const bench = await openBench({ servers: ["a", { serverId: "b", enabled: false }] });
    expect(await problem(bench.pool.activate("x"))).toMatch(/^UNKNOWN_SERVER/);
    expect(await problem(bench.pool.activate("b"))).toMatch(/^SERVER_DISABLED/);
    expect(bench.store.state.activeServerId).toBeUndefined();
  });
});

describe("what the store remembers", () => {
  test("joins after the declared servers", async () => {
    const store = new ScriptedStore();
    store.state = { activeServerId: "x", servers: [stored("x", { url: "http://x" }, { password: "secret" })] };
    const bench = await openBench({ servers: ["a"], store });
    expect(bench.pool.list()).toMatchObject([
      { origin: "declared" },
      { origin: "added", profile: { url: "http://x" } },
    ]);
    expect(bench.pool.preferredServerId).toBe("x");
  });

  test("is left out with an error when it is not valid", async () => {
    const store = new ScriptedStore();
    store.state = { activeServerId: undefined, servers: [stored("x", { timeout: "long" }), stored("y")] };
    const bench = await openBench({ servers: [], store });
    expect(ids(bench)).toEqual(["y"]);
    expect(bench.lines).toContainEqual({
      level: "error",
      message:
        'Stored server "x" is left out: The profile of server "x" is not valid: timeout: must be an integer; got "long".',
    });
  });

  test("gives way to a declared server of the same id, with a warning", async () => {
    const store = new ScriptedStore();
    store.state = { activeServerId: undefined, servers: [stored("a", { url: "http://stored" })] };
    const bench = await openBench({ servers: [{ serverId: "a", url: "http://declared" }], store });
    expect(bench.pool.list()).toMatchObject([{ origin: "declared", profile: { url: "http://declared" } }]);
    expect(bench.lines).toContainEqual({
      level: "warn",
      message: 'Server "a" is declared in the configuration and stored as well; the configuration wins.',
    });
  });

  test("that cannot be read keeps the pool from starting", async () => {
    const store = new ScriptedStore();
    store.problem = new Error("wrong key");
    await expect(buildPool({ store }).pool.start()).rejects.toThrow("wrong key");
  });
});

describe("another process", () => {
  test("adds, changes, removes and activates servers, and that is seen", async () => {
    const bench = await openBench({ servers: ["a"] });
    await bench.store.changeElsewhere({ activeServerId: "x", servers: [stored("x"), stored("y")] });
    expect([ids(bench), bench.pool.preferredServerId]).toEqual([["a", "x", "y"], "x"]);
    await bench.store.changeElsewhere({ activeServerId: undefined, servers: [stored("x", { priority: 7 })] });
    expect([ids(bench), bench.pool.preferredServerId]).toEqual([["a", "x"], "a"]);
    expect(bench.pool.list()[1]?.priority).toBe(7);
    expect(bench.events).toEqual([
      { event: "servers-changed", detail: { serverId: "x", change: "added" } },
      { event: "servers-changed", detail: { serverId: "y", change: "added" } },
      { event: "active-changed", detail: { previousServerId: "a", activeServerId: "x" } },
      { event: "servers-changed", detail: { serverId: "y", change: "removed" } },
      { event: "servers-changed", detail: { serverId: "x", change: "updated" } },
      { event: "active-changed", detail: { previousServerId: "x", activeServerId: "a" } },
    ]);
  });

  test("that saves the same fields in another order changes nothing", async () => {
    const bench = await openBench({ servers: [] });
    await bench.pool.add({ serverId: "x", url: "http://x", password: "secret" });
    await bench.pool.execute(GET);
    bench.events.length = 0;
    const { servers } = bench.store.state;
    const reversed = servers.map((server) => ({
      ...server,
      profile: Object.fromEntries(Object.entries(server.profile).toReversed()),
    }));
    await bench.store.changeElsewhere({ activeServerId: undefined, servers: reversed });
    expect(bench.events).toEqual([]);
    expect(bench.server("x").closed).toBe(0);
  });

  test("that changes something while a change of this one is saved does not undo it", async () => {
    const bench = await openBench({ servers: [] });
    const { store } = bench;
    store.meanwhile = async () => {
      store.meanwhile = undefined;
      // What is told of was read before this process' change was written.
      await store.changeElsewhere({ activeServerId: undefined, servers: [] });
    };
    await bench.pool.add({ serverId: "x" });
    await flush();
    expect(ids(bench)).toEqual(["x"]);
  });

  test("that leaves an unreadable state behind is reported, and nothing changes", async () => {
    const bench = await openBench({ servers: [] });
    await bench.pool.add({ serverId: "x" });
    bench.store.problem = new Error("corrupt");
    await bench.store.changeElsewhere(bench.store.state);
    expect(ids(bench)).toEqual(["x"]);
    expect(bench.lines).toContainEqual({
      level: "error",
      message: "Changes by another process could not be taken over: corrupt",
    });
  });

  test("is not listened to any more once the pool has closed", async () => {
    const bench = await openBench();
    expect(bench.store.watched).toBe(true);
    await bench.pool.close();
    expect(bench.store.watched).toBe(false);
  });
});

describe("a new configuration", () => {
  test("replaces the declared servers and leaves the others alone", async () => {
    const bench = await openBench({ servers: ["a", { serverId: "b", url: "http://b" }] });
    await bench.pool.add({ serverId: "x" });
    await bench.pool.execute(GET, { serverId: "b" });
    await bench.pool.apply([{ serverId: "b", url: "http://b" }, { serverId: "c" }]);
    expect(ids(bench)).toEqual(["b", "x", "c"]);
    expect([bench.server("b").opened, bench.server("b").closed]).toEqual([1, 0]);
    await bench.pool.apply([{ serverId: "b", url: "http://other" }]);
    expect(bench.server("b").closed).toBe(1);
    expect(ids(bench)).toEqual(["b", "x"]);
  });

  test("changes nothing when one of its servers is wrong or refused", async () => {
    const bench = await openBench({ servers: ["a"] });
    expect(await problem(bench.pool.apply([{ serverId: "b" }, { serverId: "c", timeout: -1 }]))).toMatch(
      /^INVALID_PROFILE/,
    );
    bench.transport.admit = () => {
      throw new Error("refused");
    };
    await expect(bench.pool.apply([{ serverId: "b" }])).rejects.toThrow("refused");
    expect(ids(bench)).toEqual(["a"]);
  });

  test("takes the place of an added server of the same id, which comes back with the next one", async () => {
    const bench = await openBench({ servers: ["a"] });
    await bench.pool.add({ serverId: "x", url: "http://added" });
    await bench.pool.apply([{ serverId: "a" }, { serverId: "x", url: "http://declared" }]);
    expect(bench.pool.list()[1]).toMatchObject({ origin: "declared", profile: { url: "http://declared" } });
    await bench.pool.apply([{ serverId: "a" }]);
    expect(bench.pool.list()[1]).toMatchObject({ origin: "added", profile: { url: "http://added" } });
  });

  test("without the active server clears it", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    await bench.pool.activate("b");
    await bench.pool.apply([{ serverId: "a" }]);
    expect(bench.pool.preferredServerId).toBe("a");
  });
});

describe("warnings about declared servers", () => {
  test("are logged at the start", async () => {
    const { pool, transport, lines } = buildPool({ servers: ["a"] });
    transport.admit = () => Promise.resolve(["the password goes over the wire in clear"]);
    await pool.start();
    expect(lines).toEqual([{ level: "warn", message: "the password goes over the wire in clear" }]);
  });
});

describe("connections", () => {
  test("are shared, and one that failed to open is tried anew", async () => {
    const bench = await openBench({ servers: ["a"] });
    await Promise.all([bench.pool.execute(GET), bench.pool.execute(GET)]);
    expect(bench.server("a").opened).toBe(1);
    const other = await openBench({ servers: [{ serverId: "a", retryAttempts: 0 }] });
    other.server("a").connect = () => Promise.reject(new Error("no"));
    expect(await problem(other.pool.execute(GET))).toMatch(/^NO_SERVER_AVAILABLE/);
    other.server("a").connect = () => Promise.resolve();
    expect((await other.pool.execute(GET)).serverId).toBe("a");
  });

  test("are kept apart by partition, with the credentials of its principal", async () => {
    const asked: (string | undefined)[] = [];
    const credentials = {
      credentials: (_profile: unknown, principal: string | undefined) => {
        asked.push(principal);
        return Promise.resolve({ username: principal ?? "nobody" });
      },
    };
    const bench = await openBench({ servers: ["a"], credentials });
    bench.transport.partition = (_profile, caller) => caller.principal ?? "";
    await bench.pool.execute(GET, { caller: { principal: "alice" } });
    await bench.pool.execute(GET, { caller: { principal: "bob" } });
    await bench.pool.execute(GET, { caller: { principal: "alice" } });
    await bench.pool.execute(GET);
    expect(asked).toEqual(["alice", "bob", undefined]);
    expect(
      bench.transport.inits.map(({ partition, origin, credentials: found }) => [partition, origin, found]),
    ).toEqual([
      ["alice", "declared", { username: "alice" }],
      ["bob", "declared", { username: "bob" }],
      ["", "declared", { username: "nobody" }],
    ]);
    expect(bench.pool.stats().totalConnections).toEqual({ active: 3, idle: 6, max: 10 });
  });

  test("that only open while their server leaves are closed when they are open", async () => {
    const bench = await openBench({ servers: [] });
    let open = (): void => undefined;
    bench.server("x").connect = () => new Promise<void>((resolve) => (open = resolve));
    await bench.pool.add({ serverId: "x" });
    const caller = new AbortController();
    const call = problem(bench.pool.execute(GET, { signal: caller.signal }));
    await flush();
    expect(bench.pool.stats().totalConnections).toEqual({ active: 0, idle: 0, max: 10 });
    caller.abort();
    expect(await call).toMatch(/^CANCELLED/);
    await bench.pool.remove("x");
    open();
    await flush();
    expect(bench.server("x").closed).toBe(1);
  });
});
