import { systemClock, type PluginContext, type StoredState, type StoreOptions } from "@davpool/core";
import { describe, expect, expectTypeOf, test } from "vitest";
import { MemoryStore, memoryStore } from "./index.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const context: PluginContext = {
  pool: "files",
  primary: true,
  clock: systemClock,
  random: Math.random,
  log: silent,
  services: {
    get() {
      throw new Error("no services");
    },
    has: () => false,
    all: () => [],
  },
  baseDirectory: "/",
};

const server = (serverId: string) => ({
  serverId,
  profile: { url: "https://dav.example.com/" },
  secrets: { password: "p" },
});
const adding = (serverId: string) => (state: StoredState) => ({
  ...state,
  servers: [...state.servers, server(serverId)],
});

describe("memory store", () => {
  test("is a plugin of kind store, named memory, without options", async () => {
    expect(memoryStore).toMatchObject({ kind: "store", name: "memory" });
    expectTypeOf<StoreOptions["memory"]>().toEqualTypeOf<object>();
    await using store = memoryStore.create(context, {});
    expect(store).toBeInstanceOf(MemoryStore);
    expect(store).not.toHaveProperty("watch");
  });

  test("starts empty", async () => {
    await using store = new MemoryStore();
    expect(await store.load()).toEqual({ activeServerId: undefined, servers: [] });
    expect(await store.loadHealth()).toEqual({
      servers: {},
      counters: { total: 0, successful: 0, failed: 0, failoverCount: 0, responseTimeSum: 0 },
    });
  });

  test("gives back what was saved, secrets included", async () => {
    await using store = new MemoryStore();
    const saved = await store.update((state) => ({ ...adding("eu")(state), activeServerId: "eu" }));
    expect(saved).toEqual({ activeServerId: "eu", servers: [server("eu")] });
    expect(await store.load()).toEqual(saved);
  });

  test("loses none of many updates at once", async () => {
    await using store = new MemoryStore();
    const ids = Array.from({ length: 50 }, (_, index) => `s${index}`);
    await Promise.all(ids.map((id) => store.update(adding(id))));
    expect((await store.load()).servers.map((entry) => entry.serverId)).toEqual(ids);
  });

  test("stays as it was when a change throws", async () => {
    await using store = new MemoryStore();
    const before = await store.update(adding("eu"));
    const refused = store.update(() => {
      throw new Error("no");
    });
    await expect(refused).rejects.toThrow("no");
    expect(await store.load()).toEqual(before);
  });

  test("is not changed by changing what was given to it", async () => {
    await using store = new MemoryStore();
    const profile = { url: "https://one.example.com/" };
    await store.update((state) => ({ ...state, servers: [{ serverId: "eu", profile, secrets: {} }] }));
    profile.url = "https://two.example.com/";
    expect((await store.load()).servers[0]?.profile).toEqual({ url: "https://one.example.com/" });
  });

  test("keeps health and counters", async () => {
    await using store = new MemoryStore();
    await store.updateHealth((health) => ({ ...health, counters: { ...health.counters, total: 3 } }));
    await store.updateHealth((health) => ({
      ...health,
      counters: { ...health.counters, total: health.counters.total + 1 },
    }));
    expect((await store.loadHealth()).counters.total).toBe(4);
  });
});
