import { describe, expect, test } from "vitest";
import type { Policy, ServersChange } from "../contracts/policy.ts";
import { openBench } from "../testing/pool-bench.test-support.ts";
import { ScriptedTransport, type ScriptedWire } from "../testing/scripted-transport.test-support.ts";

const origin = ({ url }: Readonly<Record<string, unknown>>) => URL.parse(String(url))?.origin;

/** A transport whose secrets belong to the origin of the url. */
function bound(): ScriptedTransport {
  return Object.assign(new ScriptedTransport(), { secretsOrigin: origin });
}

function recording() {
  const before: ServersChange[] = [];
  const after: { readonly change: ServersChange; readonly failure: unknown }[] = [];
  const policy: Policy<ScriptedWire> = {
    beforeChange(change) {
      before.push(change);
      return undefined;
    },
    afterChange: (change, failure) => void after.push({ change, failure }),
  };
  return { before, after, policy };
}

const added = (profile: object, secrets: Record<string, string> = {}) => ({
  activeServerId: undefined,
  servers: [{ serverId: "x", profile: { ...profile }, secrets }],
});

describe("a changed address", () => {
  test("of another origin drops the stored secrets and says so", async () => {
    const bench = await openBench({ servers: [], transport: bound() });
    await bench.pool.add({ serverId: "x", url: "https://a.example.com/", password: "secret" });
    const updated = await bench.pool.update("x", { url: "https://thief.example.com/" });
    expect(updated.droppedSecrets).toEqual(["password"]);
    expect(bench.store.state.servers).toMatchObject([{ serverId: "x", secrets: {} }]);
    await bench.pool.execute({ operation: "GET", repeat: "safe" });
    expect(JSON.stringify(bench.transport.inits)).not.toContain("secret");
  });

  test.each([
    ["another path", { url: "https://a.example.com/other/" }, { password: "secret" }],
    ["a secret beside it", { url: "https://b.example.com/", password: "new" }, { password: "new" }],
  ])("with %s keeps a secret", async (_what, changes, secrets) => {
    const bench = await openBench({ servers: [], transport: bound() });
    await bench.pool.add({ serverId: "x", url: "https://a.example.com/", password: "secret" });
    expect((await bench.pool.update("x", changes)).droppedSecrets).toEqual([]);
    expect(bench.store.state.servers).toMatchObject([{ secrets }]);
  });

  test.each(["http://a.example.com/", "https://a.example.com:8443/"])("to %s is another origin", async (url) => {
    const bench = await openBench({ servers: [], transport: bound() });
    await bench.pool.add({ serverId: "x", url: "https://a.example.com/", password: "secret" });
    expect((await bench.pool.update("x", { url })).droppedSecrets).toEqual(["password"]);
  });
});

describe("two updates of one server at the same time", () => {
  test("both survive, field by field", async () => {
    const bench = await openBench({ servers: [] });
    await bench.pool.add({ serverId: "x", timeout: 1, weight: 1 });
    // Another process has changed a field, and this one has not heard of it.
    const [stored] = bench.store.state.servers;
    bench.store.state = {
      ...bench.store.state,
      servers: [{ ...stored, serverId: "x", secrets: {}, profile: { ...stored?.profile, weight: 7 } }],
    };
    await bench.pool.update("x", { timeout: 9 });
    expect(bench.store.state.servers).toMatchObject([{ profile: { timeout: 9, weight: 7 } }]);
    expect(bench.pool.list()).toMatchObject([{ profile: { timeout: 9, weight: 7 } }]);
  });

  test("are judged together: a secret does not follow an address that changed meanwhile", async () => {
    const transport = bound();
    const bench = await openBench({ servers: [], transport });
    await bench.pool.add({ serverId: "x", url: "https://a.example.com/", password: "secret" });
    let admitted = 0;
    // While the first update is admitted, another process moves the server and drops its secret.
    transport.admit = () => {
      if (admitted++ === 0) bench.store.state = added({ url: "https://b.example.com/", timeout: 3 });
      return [];
    };
    await bench.pool.update("x", { weight: 2 });
    expect(bench.store.state.servers).toMatchObject([
      { profile: { url: "https://b.example.com/", timeout: 3, weight: 2 }, secrets: {} },
    ]);
    expect(admitted).toBe(2);
  });
});

describe("a declared server that a caller disables", () => {
  test("stays disabled through restarts, is told of, and is shown with who did it", async () => {
    const first = await openBench({ servers: ["a", "b"] });
    await first.pool.update("a", { enabled: false }, { caller: { principal: "alice" } });
    const override = { enabled: false, by: "alice", at: "2026-01-01T00:00:00.000Z" };
    expect(first.store.state.overrides).toEqual({ a: override });
    expect(first.pool.list()[0]).toMatchObject({ enabled: false, override });

    const second = await openBench({ servers: ["a", "b"], store: first.store });
    expect(second.pool.list()[0]).toMatchObject({ serverId: "a", enabled: false, override });
    expect(second.lines).toContainEqual({
      level: "warn",
      message:
        'Server "a" is disabled, unlike in the configuration, because alice disabled it at 2026-01-01T00:00:00.000Z. It stays so until somebody enables it again.',
    });
  });

  test("stays disabled through a reload", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    await bench.pool.update("a", { enabled: false });
    await bench.pool.apply([{ serverId: "a", priority: 2 }, { serverId: "b" }]);
    expect(bench.pool.list()[0]).toMatchObject({ serverId: "a", priority: 2, enabled: false });
  });

  test("is nothing special any more once the configuration or a caller says the same", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    await bench.pool.update("a", { enabled: false });
    await bench.pool.apply([{ serverId: "a", enabled: false }, { serverId: "b" }]);
    expect(bench.store.state.overrides).toBeUndefined();
    await bench.pool.apply([{ serverId: "a" }, { serverId: "b" }]);
    expect(bench.pool.list()[0]).toMatchObject({ enabled: true });

    await bench.pool.update("a", { enabled: false });
    await bench.pool.update("a", { enabled: true });
    expect(bench.store.state.overrides).toBeUndefined();
    expect(bench.pool.list()[0]?.override).toBeUndefined();
  });

  test("is disabled in other processes as well", async () => {
    const bench = await openBench({ servers: ["a", "b"] });
    const overrides = { a: { enabled: false, at: "2026-01-01T00:00:00.000Z" } };
    await bench.store.changeElsewhere({ ...bench.store.state, overrides });
    expect(bench.pool.list()[0]).toMatchObject({ serverId: "a", enabled: false, override: overrides.a });
  });
});

describe("every change", () => {
  test("is logged and told to policies, with its principal, and with secrets masked", async () => {
    const { before, after, policy } = recording();
    const bench = await openBench({ servers: ["a"], policies: [policy] });
    const caller = { principal: "alice", session: "s" };
    await bench.pool.add({ serverId: "x", url: "http://u:pw1@x", password: "pw2" }, { caller });
    await bench.pool.update("x", { password: "pw3", timeout: 7 }, { caller });
    await bench.pool.activate("x", { caller });
    await bench.pool.activate(null, { caller });
    await bench.pool.remove("x", { caller });
    expect(before).toHaveLength(5);
    expect(after.map(({ change: { action, serverId, from, to } }) => ({ action, serverId, from, to }))).toMatchObject([
      { action: "add", serverId: "x", from: {}, to: { url: "http://[secret]@x", password: "[secret]" } },
      {
        action: "update",
        serverId: "x",
        from: { password: "[secret]", timeout: 30_000 },
        to: { password: "[secret]", timeout: 7 },
      },
      { action: "activate", serverId: "x", from: { activeServerId: null }, to: { activeServerId: "x" } },
      { action: "activate", from: { activeServerId: "x" }, to: { activeServerId: null } },
      { action: "remove", serverId: "x", from: { password: "[secret]", timeout: 7 }, to: {} },
    ]);
    expect(after.every(({ change, failure }) => change.caller === caller && failure === undefined)).toBe(true);
    expect(bench.lines).toContainEqual({ level: "info", message: "alice changed the servers of the pool: update x." });
    expect(JSON.stringify([before, after, bench.lines])).not.toMatch(/pw\d/);
  });

  test("that a policy denies is not made", async () => {
    const { after, policy } = recording();
    const deny: Policy<ScriptedWire> = { beforeChange: () => ({ deny: "not today" }) };
    const bench = await openBench({ servers: ["a"], policies: [policy, deny] });
    for (const change of [
      bench.pool.add({ serverId: "x" }),
      bench.pool.update("a", { enabled: false }),
      bench.pool.activate("a"),
    ])
      await expect(change).rejects.toThrow(/^servers\/\w+ is not allowed: not today$/);
    expect(bench.pool.list()).toMatchObject([{ serverId: "a", enabled: true }]);
    expect(bench.store.state).toEqual({ activeServerId: undefined, servers: [] });
    expect(after.map(({ failure }) => failure)).toMatchObject([
      { code: "POLICY_DENIED" },
      { code: "POLICY_DENIED" },
      { code: "POLICY_DENIED" },
    ]);
  });

  test("that a policy answers with nonsense is not made", async () => {
    const odd = { beforeChange: () => ({ allow: true }) } as unknown as Policy<ScriptedWire>;
    const bench = await openBench({ servers: [], policies: [odd] });
    await expect(bench.pool.add({ serverId: "x" })).rejects.toThrow(/returned an object with allow from beforeChange/);
    expect(bench.pool.list()).toEqual([]);
  });
});
