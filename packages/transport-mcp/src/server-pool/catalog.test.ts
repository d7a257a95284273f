import { createManualClock } from "@davpool/core";
import { expect, test } from "vitest";
import { Catalog, type Listed, type ListKind } from "./catalog.ts";

interface Load {
  readonly serverId: string;
  readonly kind: ListKind;
  readonly answer: (...names: readonly string[]) => void;
  readonly fail: (error: Error) => void;
}

/** A catalog of servers `a` and `b`, whose lists come when the test says so. */
function bench() {
  const clock = createManualClock();
  const loads: Load[] = [];
  const catalog = new Catalog({
    load: (serverId, kind) =>
      new Promise<readonly Listed[]>((resolve, reject) => {
        const key = kind === "resources" ? "uri" : "name";
        loads.push({
          serverId,
          kind,
          answer: (...names) => resolve(names.map((name) => ({ [key]: name, of: serverId }))),
          fail: reject,
        });
      }),
    askable: () => ["a", "b"],
    clock,
    maxAge: 60_000,
  });
  return { clock, loads, catalog };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("whoever looks for a tool waits for the first server that has it, not for one that is silent", async () => {
  const { catalog, loads } = bench();
  const found = catalog.find("tools", "read");
  loads[1]?.answer("read");
  const holders = await found;
  expect([...(holders?.servers ?? [])]).toEqual(["b"]);
  expect([...catalog.unknown("tools", ["a", "b"])]).toEqual(["a"]);
  // A request that is under way learns of the other one.
  loads[0]?.answer("read", "write");
  await settled();
  expect([...(holders?.servers ?? [])]).toEqual(["b", "a"]);
  expect(catalog.ids("tools")).toEqual(["read", "write"]);
  expect(loads).toHaveLength(2);
});

test("what nobody has is looked for again, once in a while", async () => {
  const { catalog, loads, clock } = bench();
  const missing = catalog.find("tools", "new");
  for (const load of loads) load.answer("old");
  expect(await missing).toBeUndefined();
  expect(await catalog.find("tools", "new")).toBeUndefined();
  expect(loads).toHaveLength(2);
  clock.advance(1_000);
  const found = catalog.find("tools", "new");
  expect(loads).toHaveLength(4);
  loads[2]?.answer("old");
  loads[3]?.answer("old", "new");
  expect([...((await found)?.servers ?? [])]).toEqual(["b"]);
});

test("resources need not be listed, and nobody is asked again for them", async () => {
  const { catalog, loads, clock } = bench();
  const missing = catalog.find("resources", "test://1");
  for (const load of loads) load.answer("test://2");
  expect(await missing).toBeUndefined();
  clock.advance(1_000);
  expect(await catalog.find("resources", "test://1")).toBeUndefined();
  expect(loads).toHaveLength(2);
});

test("a list that cannot be had leaves the last one, and is not asked for at every turn", async () => {
  const { catalog, loads, clock } = bench();
  const all = catalog.all("tools", ["a", "b"]);
  loads[0]?.answer("read");
  loads[1]?.answer("read", "write");
  expect(await all).toEqual([
    { name: "read", of: "a" },
    { name: "write", of: "b" },
  ]);
  const again = catalog.all("tools", ["a", "b"]);
  loads[2]?.fail(new Error("it is down"));
  loads[3]?.answer("write");
  expect((await again).map(({ name }) => name)).toEqual(["read", "write"]);
  await catalog.find("tools", "read");
  expect(loads).toHaveLength(4);
  clock.advance(1_000);
  await catalog.find("tools", "read");
  // The one that failed, and not the other.
  expect(loads.slice(4).map(({ serverId }) => serverId)).toEqual(["a"]);
});

test("no list at all is the first server's problem", async () => {
  const { catalog, loads } = bench();
  const all = catalog.all("prompts", ["a", "b"]);
  loads[0]?.fail(new Error("it is down"));
  loads[1]?.fail(new Error("so is this"));
  await expect(all).rejects.toThrow("it is down");
});

test("lists that changed, and those of servers that are back, are asked for when they are used", async () => {
  const { catalog, loads } = bench();
  const all = catalog.all("tools", ["a", "b"]);
  for (const load of loads) load.answer("read");
  await all;
  catalog.changed("a", "notifications/tools/list_changed");
  catalog.changed("b", "notifications/prompts/list_changed");
  await catalog.find("tools", "read");
  expect(loads.slice(2).map(({ serverId }) => serverId)).toEqual(["a"]);
  loads[2]?.answer("read");
  await settled();
  catalog.back("b");
  await catalog.find("tools", "read");
  expect(loads.slice(3).map(({ serverId }) => serverId)).toEqual(["b"]);
});

test("a server that has left has nothing, also when its list comes late", async () => {
  const { catalog, loads } = bench();
  const found = catalog.find("tools", "read");
  loads[0]?.answer("read");
  await found;
  catalog.forget("a");
  catalog.forget("b");
  loads[1]?.answer("read");
  await settled();
  expect(catalog.known("tools", "read")).toBeUndefined();
});
