import { Scope, createManualClock, type RequestTraits, type Selector, type ServerView, type Use } from "@davpool/core";
import { expect, test } from "vitest";
import plugin, { priority } from "./index.ts";

const read: RequestTraits = { operation: "GET", repeat: "safe", replayable: true };

test("the highest priority is taken, which is the lowest number", () => {
  const selector = create();
  const servers = [server("c", 3), server("a", 1), server("b", 2)] as const;
  for (let turn = 0; turn < 10; turn++) expect(selector.select(servers, read).serverId).toBe("a");
});

test("of one priority the least busy server is taken", () => {
  const servers = [server("a", 1, 3), server("b", 1, 1), server("c", 2, 0)] as const;
  expect(create().select(servers, read).serverId).toBe("b");
});

test("equals take turns, so that none is idle", () => {
  const selector = create();
  const servers = [server("a", 1), server("b", 1), server("c", 1), server("d", 2)] as const;
  const chosen = Array.from({ length: 6 }, () => selector.select(servers, read).serverId);
  expect(chosen).toEqual(["a", "b", "c", "a", "b", "c"]);
});

test("a server that left and joins again is new", () => {
  const selector = create();
  const servers = [server("a", 1), server("b", 1)] as const;
  selector.select(servers, read);
  selector.forget?.("a");
  expect(selector.select(servers, read).serverId).toBe("a");
});

test("it is named in a configuration, has no options, and may be listed as a plugin", () => {
  expect(plugin).toBe(priority);
  const uses: Use<[], "selector">[] = [
    "priority",
    { type: "priority" },
    // @ts-expect-error there is no such option
    { type: "priority", order: "descending" },
  ];
  expect(uses).toHaveLength(3);
});

function create(): Selector {
  return priority.create(
    {
      pool: "files",
      primary: true,
      clock: createManualClock(),
      random: Math.random,
      log: { debug() {}, info() {}, warn() {}, error() {} },
      services: new Scope(),
      baseDirectory: "/",
    },
    {},
  );
}

function server(serverId: string, rank: number, inFlight = 0): ServerView {
  const rest = { group: undefined, health: "healthy", enabled: true, maxConnections: 10, weight: 1 } as const;
  return { serverId, priority: rank, inFlight, ...rest };
}
