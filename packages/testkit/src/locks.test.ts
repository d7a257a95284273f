import { expect, test } from "vitest";
import { LockTable } from "./locks.ts";
import { ManualClock } from "./manual-clock.ts";

const exclusive = { scope: "exclusive", owner: "", timeout: 10 } as const;

test("a lock with infinite depth covers what is below it, one with depth 0 does not", () => {
  const locks = new LockTable();
  const deep = locks.grant({ ...exclusive, path: "/a/", depth: "infinity" });
  const flat = locks.grant({ ...exclusive, path: "/b", depth: "0" });
  expect(locks.covers(deep.token, "/a")).toBe(true);
  expect(locks.covers(deep.token, "/a/x/y")).toBe(true);
  expect(locks.covers(deep.token, "/ab")).toBe(false);
  expect(locks.covers(flat.token, "/b")).toBe(true);
  expect(locks.covers(flat.token, "/b/x")).toBe(false);
});

test("a lock ends after its timeout, counted from the last refresh", () => {
  const clock = new ManualClock();
  const locks = new LockTable({ clock });
  const lock = locks.grant({ ...exclusive, path: "/a", depth: "0" });
  clock.advance(9_000);
  locks.refresh(lock, 10);
  clock.advance(9_999);
  expect(locks.list()).toHaveLength(1);
  clock.advance(1);
  expect(locks.list()).toEqual([]);
  expect(locks.release(lock.token)).toBe(false);
});

test("locks go with what they locked", () => {
  const locks = new LockTable();
  for (const path of ["/a", "/a/b", "/c"]) locks.grant({ ...exclusive, path, depth: "0" });
  expect(locks.below("/a").map(({ path }) => path)).toEqual(["/a/b"]);
  locks.releaseTree("/a");
  expect(locks.list().map(({ path }) => path)).toEqual(["/c"]);
  locks.clear();
  expect(locks.list()).toEqual([]);
});
