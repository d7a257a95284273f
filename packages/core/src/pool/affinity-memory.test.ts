import { describe, expect, test } from "vitest";
import { createManualClock } from "../time/manual-clock.ts";
import { affinityMemory, memoryAffinity } from "./affinity-memory.ts";

function start(capacity = { locks: 2, tags: 2 }) {
  const clock = createManualClock();
  return { clock, owners: memoryAffinity(clock, capacity) };
}

describe("the memory of owners", () => {
  test("forgets what it is told to and what has expired", () => {
    const { clock, owners } = start();
    void owners.set("one", { serverId: "a", kind: "tag" });
    void owners.set("two", { serverId: "b", kind: "lock", ttl: 1_000 });
    expect([owners.get("one"), owners.get("two"), owners.get("three")]).toEqual(["a", "b", undefined]);
    clock.advance(1_000);
    expect(owners.get("two")).toBeUndefined();
    void owners.delete("one", "a");
    expect(owners.get("one")).toBeUndefined();
  });

  test("makes room for a new entity tag by forgetting the oldest one", () => {
    const { owners } = start();
    for (const tag of ["one", "two", "three"]) void owners.set(tag, { serverId: "a", kind: "tag" });
    expect(["one", "two", "three"].map((tag) => owners.get(tag))).toEqual([undefined, "a", "a"]);
  });

  test("keeps a lock whatever number of entity tags it learns", () => {
    const { clock, owners } = start({ locks: 2, tags: 100 });
    void owners.set("lock", { serverId: "a", kind: "lock" });
    for (let tag = 0; tag < 10_050; tag++) void owners.set(`tag ${tag}`, { serverId: "b", kind: "tag" });
    clock.advance(30 * 86_400_000);
    expect(owners.get("lock")).toBe("a");
  });

  test("refuses one lock too many rather than forget one that is still held", () => {
    const { clock, owners } = start();
    void owners.set("one", { serverId: "a", kind: "lock", ttl: 10 });
    void owners.set("two", { serverId: "a", kind: "lock" });
    expect(() => owners.set("three", { serverId: "a", kind: "lock" })).toThrow("2 locks are remembered already");
    expect([owners.get("one"), owners.get("two")]).toEqual(["a", "a"]);
    clock.advance(10);
    void owners.set("three", { serverId: "a", kind: "lock" });
    expect(owners.get("three")).toBe("a");
  });

  test("lets the owner of a full table refresh its lock", () => {
    const { clock, owners } = start();
    void owners.set("one", { serverId: "a", kind: "lock", ttl: 10 });
    void owners.set("two", { serverId: "a", kind: "lock" });
    void owners.set("one", { serverId: "a", kind: "lock", ttl: 20 });
    clock.advance(10);
    expect(owners.get("one")).toBe("a");
  });

  test.for(["lock", "tag"] as const)("leaves a live %s with its owner, whatever another server says", (kind) => {
    const { clock, owners } = start();
    void owners.set("key", { serverId: "a", kind, ttl: 10 });
    void owners.set("key", { serverId: "b", kind: "tag" });
    void owners.set("key", { serverId: "b", kind: "lock" });
    void owners.delete("key", "b");
    expect(owners.get("key")).toBe("a");
    clock.advance(10);
    void owners.set("key", { serverId: "b", kind });
    expect(owners.get("key")).toBe("b");
  });

  test("tells which live keys a server owned when it leaves", () => {
    const { clock, owners } = start();
    void owners.set("lock", { serverId: "a", kind: "lock" });
    void owners.set("short", { serverId: "a", kind: "lock", ttl: 10 });
    void owners.set("tag", { serverId: "a", kind: "tag" });
    void owners.set("other", { serverId: "b", kind: "tag" });
    clock.advance(10);
    expect(owners.forget?.("a")).toEqual(["lock", "tag"]);
    expect([owners.get("lock"), owners.get("other"), owners.forget?.("a")]).toEqual([undefined, "b", []]);
  });

  test("is the plugin called memory", () => {
    expect(affinityMemory.create({ clock: createManualClock() } as never, {}).get("one")).toBeUndefined();
  });
});
