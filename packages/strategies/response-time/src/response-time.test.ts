import {
  Scope,
  createManualClock,
  validator,
  type Failure,
  type ManualClock,
  type Observation,
  type RequestTraits,
  type Selector,
  type ServerView,
  type Use,
} from "@davpool/core";
import { describe, expect, test } from "vitest";
import plugin, { responseTime, type ResponseTimeOptions } from "./index.ts";

const read: RequestTraits = { operation: "GET", repeat: "safe", replayable: true };
const lock: RequestTraits = { operation: "LOCK", repeat: "neither", replayable: true };
const SECOND = 1_000;
const SEEDS = [1, 2, 3, 4, 5];

describe("equal servers", () => {
  test.for(SEEDS)("none is idle when one request follows the other (seed %i)", (seed) => {
    const { taken, sequential } = simulate({ seed, latency: (_, random) => 3 + 4 * random() });
    sequential(300);
    for (const { serverId } of SERVERS) expect(taken(serverId)).toBeGreaterThan(60);
  });

  test.for(SEEDS)("none is idle although opening the first connection took one of them long (seed %i)", (seed) => {
    const opened = new Set<string>();
    const { taken, sequential } = simulate({
      seed,
      latency({ serverId }, random) {
        const opening = opened.has(serverId) ? 0 : 40 * random();
        opened.add(serverId);
        return 1 + random() + opening;
      },
    });
    sequential(300);
    for (const { serverId } of SERVERS) expect(taken(serverId)).toBeGreaterThan(60);
  });

  test.for(SEEDS)("none is idle under many requests at a time (seed %i)", (seed) => {
    const { taken, concurrent } = simulate({ seed, latency: (_, random) => 3 + 4 * random() });
    concurrent(16, 300);
    for (const { serverId } of SERVERS) expect(taken(serverId)).toBeGreaterThan(80);
  });

  test.for(SEEDS)("none is idle when now and then an answer takes ten times as long (seed %i)", (seed) => {
    const { taken, open } = simulate({ seed, latency: (_, random) => (random() < 0.01 ? 50 : 3 + 4 * random()) });
    open(30 * SECOND, 200);
    for (const { serverId } of SERVERS) expect(taken(serverId)).toBeGreaterThan(6_000 * 0.1);
  });
});

describe("a server ten times slower than the two others, at 600 requests a second", () => {
  const latency = ({ serverId }: ServerView, random: () => number) =>
    (serverId === "b" ? 50 : 5) * (0.8 + 0.4 * random());

  test.for(SEEDS)("gets less than one in a hundred requests (seed %i)", (seed) => {
    const { taken, open } = simulate({ seed, latency });
    open(30 * SECOND, 600);
    expect(taken("b")).toBeGreaterThan(10);
    expect(taken("b")).toBeLessThan(18_000 * 0.01);
  });

  test("does not show in the slowest hundredth of the answers, where taking turns does", () => {
    const balanced = simulate({ seed: 1, latency });
    balanced.open(30 * SECOND, 600);
    const turns = simulate({ seed: 1, latency, selector: takingTurns() });
    turns.open(30 * SECOND, 600);
    expect(balanced.percentile(0.99)).toBeLessThan(8);
    expect(turns.percentile(0.99)).toBeGreaterThan(50);
  });

  test("does not gain by pauses of the process, which make the other two look as slow", () => {
    const { taken, percentile, open, clock } = simulate({
      seed: 1,
      latency(server, random) {
        const end = clock.now() + latency(server, random);
        const intoPause = end % (10 * SECOND);
        return (intoPause < 60 ? end - intoPause + 60 : end) - clock.now();
      },
    });
    open(60 * SECOND, 600);
    expect(taken("b")).toBeLessThan(36_000 * 0.01);
    expect(percentile(0.98)).toBeLessThan(8);
  });

  test("gets a small share too when requests come one after the other", () => {
    const { taken, sequential } = simulate({ seed: 1, latency });
    sequential(3_000);
    expect(taken("b")).toBeLessThan(3_000 * 0.02);
  });

  test("gets its full share within 30 s of being as fast as the others again", () => {
    const { taken, open, clock } = simulate({
      seed: 1,
      latency: (server, random) => (clock.now() < 30 * SECOND ? latency(server, random) : 5 * (0.8 + 0.4 * random())),
    });
    open(60 * SECOND, 600);
    const before = taken("b");
    open(10 * SECOND, 600);
    expect(taken("b") - before).toBeGreaterThan(6_000 * 0.25);
  });
});

describe("a server that fails at once", () => {
  test.for(SEEDS)("gets less than two in a thousand of 600 requests a second (seed %i)", (seed) => {
    const { taken, open } = simulate({ seed, latency: failing("b", 1) });
    open(30 * SECOND, 600);
    expect(taken("b")).toBeGreaterThan(5);
    expect(taken("b")).toBeLessThan(18_000 * 0.002);
  });

  test("gets less than one in a hundred of ten requests a second", () => {
    const { taken, open } = simulate({ seed: 1, latency: failing("b", 1) });
    open(600 * SECOND, 10);
    expect(taken("b")).toBeLessThan(6_000 * 0.01);
  });

  test("attracts nothing either when its only other is a hundred times slower", () => {
    const { taken, open } = simulate({
      seed: 1,
      servers: 2,
      latency: (server) => (server.serverId === "b" ? { failed: 1 } : 100),
    });
    open(60 * SECOND, 20);
    expect(taken("b")).toBeLessThan(1_200 * 0.01);
  });

  test("gets its full share within 10 s of answering again", () => {
    const { taken, open, clock } = simulate({
      seed: 1,
      latency: (server, random) => (clock.now() < 30 * SECOND ? failing("b", 1)(server) : 5 * (0.8 + 0.4 * random())),
    });
    open(40 * SECOND, 600);
    const before = taken("b");
    open(10 * SECOND, 600);
    expect(taken("b") - before).toBeGreaterThan(6_000 * 0.25);
  });

  test("is spared by requests that no other server may repeat", () => {
    const { taken, open } = simulate({ seed: 1, latency: failing("b", 1), traits: lock });
    open(60 * SECOND, 600);
    // Those of the start, before the first failure was known.
    expect(taken("b")).toBeLessThanOrEqual(2);
  });

  test("that drops every connection is avoided as well, although that speaks of no server", () => {
    const { taken, open } = simulate({ seed: 1, latency: failing("b", 1), blame: "connection" });
    open(30 * SECOND, 600);
    expect(taken("b")).toBeLessThan(18_000 * 0.002);
  });

  test("does not matter when all do: they share the attempts", () => {
    const { taken, open } = simulate({ seed: 1, latency: () => ({ failed: 1 }) });
    open(10 * SECOND, 600);
    for (const { serverId } of SERVERS) expect(taken(serverId)).toBeGreaterThan(6_000 * 0.25);
  });
});

describe("starvation", () => {
  test.for<[string, RequestTraits, ResponseTimeOptions]>([
    ["without exploring", read, { explore: 0 }],
    ["with requests that must not be repeated", lock, {}],
  ])("is impossible: a server is tried once in six decay times even %s", ([, traits, options]) => {
    const { taken, open, clock } = simulate({
      seed: 1,
      latency: (server) => (clock.now() < SECOND ? failing("b", 1)(server) : 5),
      traits,
      options,
    });
    open(59 * SECOND, 100);
    const before = taken("b");
    expect(before).toBeLessThanOrEqual(2);
    open(13 * SECOND, 100);
    expect(taken("b") - before).toBeGreaterThan(1_000 * 0.25);
  });

  test("is impossible at one request a minute", () => {
    const { taken, open } = simulate({ seed: 1, latency: failing("b", 1) });
    open(60 * 61 * SECOND, 1 / 61);
    expect(taken("b")).toBeGreaterThan(5);
  });
});

describe("a server that hangs", () => {
  test("keeps no more attempts than the others while nothing is known", () => {
    const { taken, open } = simulate({
      seed: 1,
      latency: ({ serverId }) => (serverId === "b" ? { failed: 30_000 } : 5),
    });
    open(29 * SECOND, 200);
    expect(taken("b")).toBeLessThanOrEqual(5);
  });
});

describe("a server that joins", () => {
  test("is tried at once, and is not flooded before its first answer", () => {
    const { taken, open, join } = simulate({
      seed: 1,
      servers: 2,
      latency: ({ serverId }, random) => (serverId === "c" ? 500 : 5 * (0.8 + 0.4 * random())),
    });
    open(5 * SECOND, 600);
    join();
    open(0.4 * SECOND, 600);
    expect(taken("c")).toBeGreaterThanOrEqual(1);
    expect(taken("c")).toBeLessThanOrEqual(5);
  });

  test("is preferred to one that is known to be slow", () => {
    const { selector, answers, servers } = simulate({ seed: 1, servers: 3, latency: () => 5 });
    answers("a", 5);
    answers("b", 200);
    const [, b, c] = servers;
    const chosen = new Set(Array.from({ length: 50 }, () => selector.select([b, c] as [ServerView, ServerView], read)));
    expect([...chosen]).toEqual([c]);
  });
});

describe("a cancelled attempt", () => {
  test("is a lower bound: it can make a server look slower, not faster", () => {
    const { observe, answers, favourite } = simulate({ seed: 1, servers: 2, latency: () => 5 });
    answers("a", 100);
    answers("b", 50);
    expect(favourite()).toBe("b");
    observe("a", { latency: 1, end: "cancelled" });
    expect(favourite()).toBe("b");
    observe("b", { latency: 400, end: "cancelled" });
    expect(favourite()).toBe("a");
  });

  test("so hedging away from a slow server does not send it more", () => {
    const { taken, open, clock } = simulate({
      seed: 1,
      latency: ({ serverId }) => (serverId !== "b" ? 5 : clock.now() < SECOND ? 50 : { cancelled: 15 }),
    });
    open(30 * SECOND, 600);
    expect(taken("b")).toBeLessThan(18_000 * 0.01);
  });

  test("of a new server, cancelled at once, does not make it look fast", () => {
    const { taken, open, answers } = simulate({
      seed: 1,
      latency: ({ serverId }) => (serverId === "b" ? { cancelled: 0 } : 5),
    });
    answers("a", 5);
    open(30 * SECOND, 600);
    expect(taken("b")).toBeLessThan(18_000 * 0.67);
  });

  test("of a server that never answered counts like an answer after that time", () => {
    const [hedged, answering] = [{ cancelled: 15 }, 15].map((outcome) => {
      const { taken, open } = simulate({ seed: 1, latency: ({ serverId }) => (serverId === "b" ? outcome : 5) });
      open(30 * SECOND, 600);
      return taken("b");
    });
    expect(hedged).toBeLessThan(1.1 * (answering ?? 0));
  });

  test.for<Failure["blame"]>(["request", "caller"])("is what a failure is that speaks of the %s", (blame) => {
    const { observe, answers, favourite } = simulate({ seed: 1, servers: 2, latency: () => 5 });
    answers("a", 100);
    answers("b", 20);
    const failure: Failure = { kind: "invalid", blame, message: "the path leaves the server's base" };
    for (let n = 0; n < 10; n++) observe("a", { latency: 0, end: "answer", failure });
    observe("b", { latency: 0, end: "failure", failure });
    expect(favourite()).toBe("b");
  });
});

describe("the choice between two servers", () => {
  test("weighs the response time with the attempts in flight", () => {
    const { answers, favourite, servers } = simulate({ seed: 1, servers: 2, latency: () => 5 });
    answers("a", 100);
    answers("b", 30);
    const [, b] = servers;
    if (b) b.inFlight = 2;
    expect(favourite()).toBe("b");
    if (b) b.inFlight = 3;
    expect(favourite()).toBe("a");
  });

  test("is the attempts in flight alone where response times differ by noise", () => {
    const { answers, favourite, servers } = simulate({ seed: 1, servers: 2, latency: () => 5 });
    answers("a", 7);
    answers("b", 5);
    expect(favourite()).toBe("both");
    const [, b] = servers;
    if (b) b.inFlight = 1;
    expect(favourite()).toBe("a");
  });

  test("counts a failure that took longer than the penalty as long as it took", () => {
    const { observe, favourite } = simulate({ seed: 1, servers: 2, latency: () => 5, options: { penalty: "1s" } });
    observe("a", { latency: 2, end: "failure" });
    observe("b", { latency: 30_000, end: "failure" });
    expect(favourite()).toBe("a");
  });

  test("is none with a single candidate", () => {
    const { selector, servers } = simulate({ seed: 1, servers: 1, latency: () => 5 });
    const [a] = servers;
    expect(selector.select([a as ServerView], read)).toBe(a);
  });

  test("stays among the candidates even should a random number leave its range", () => {
    const { selector, servers } = simulate({ seed: 1, latency: () => 5, random: () => 1 });
    expect(servers).toContain(selector.select(servers as [ServerView, ...ServerView[]], read));
  });
});

test("a server that left and joins again is new", () => {
  const { selector, observe, answers, favourite } = simulate({ seed: 1, servers: 2, latency: () => 5 });
  answers("a", 5);
  observe("b", { latency: 5, end: "failure" });
  expect(favourite()).toBe("a");
  selector.forget?.("b");
  expect(favourite()).toBe("both");
});

describe("options", () => {
  const check = validator({ ...responseTime.options, additionalProperties: false });

  test("are the ones in the README, with their defaults", () => {
    const options = {};
    expect(check(options, "strategy")).toEqual([]);
    expect(options).toEqual({ decay: "10s", penalty: "5s", explore: 0.005 });
  });

  test.for<[ResponseTimeOptions]>([[{ decay: 2_500, penalty: "1m" }], [{ explore: 0 }], [{ explore: 1 }]])(
    "%o is right",
    ([options]) => expect(check({ ...options }, "strategy")).toEqual([]),
  );

  test.for<[object, string]>([
    [{ decay: "soon" }, "strategy.decay"],
    [{ penalty: -1 }, "strategy.penalty"],
    [{ explore: 2 }, "strategy.explore"],
    [{ decya: "10s" }, "strategy.decya"],
  ])("%o is reported at %s", ([options, path]) => {
    expect(check(options, "strategy").map((issue) => issue.path)).toEqual([path]);
  });

  test("a decay of nothing remembers nothing, and works", () => {
    const { taken, open } = simulate({ seed: 1, latency: () => 5, options: { decay: 0 } });
    open(SECOND, 300);
    for (const { serverId } of SERVERS) expect(taken(serverId)).toBeGreaterThan(60);
  });

  test("it is named in a configuration, and may be listed as a plugin", () => {
    expect(plugin).toBe(responseTime);
    const uses: Use<[], "selector">[] = [
      "response-time",
      { type: "response-time", decay: "30s", penalty: 1_000, explore: 0 },
      // @ts-expect-error a duration has a unit
      { type: "response-time", decay: "soon" },
    ];
    expect(uses).toHaveLength(3);
  });
});

interface TestServer extends ServerView {
  inFlight: number;
}

/** Milliseconds until the answer, until the failure, or until the caller went away. */
type Outcome = number | { readonly failed: number } | { readonly cancelled: number };

interface Simulation {
  readonly seed: number;
  readonly latency: (server: ServerView, random: () => number) => Outcome;
  readonly servers?: number;
  readonly traits?: RequestTraits;
  readonly options?: ResponseTimeOptions;
  /** Default: the strategy under test. */
  readonly selector?: Selector;
  readonly random?: () => number;
  readonly blame?: Failure["blame"];
}

const SERVERS = [{ serverId: "a" }, { serverId: "b" }, { serverId: "c" }];

/** Servers, requests and time as numbers: ten attempts in flight for each server, then one queue for all. */
function simulate({
  seed,
  latency,
  servers: size = 3,
  traits = read,
  options = {},
  blame = "server",
  ...given
}: Simulation) {
  const clock = createManualClock();
  const random = given.random ?? seeded(seed);
  const selector = given.selector ?? create(clock, random, options);
  const servers = SERVERS.slice(0, size).map(({ serverId }) => server(serverId));
  const attempts = new Map<string, number>();
  const latencies: number[] = [];
  const queue: (() => void)[] = [];

  function attempt(ended: () => void): void {
    const start = clock.now();
    const run = () => {
      const free = servers.filter(({ inFlight, maxConnections }) => inFlight < maxConnections);
      const [first, ...rest] = free;
      if (!first) {
        queue.push(run);
        return;
      }
      const { serverId } = selector.select([first, ...rest], traits);
      const chosen = free.find((candidate) => candidate.serverId === serverId) ?? first;
      attempts.set(serverId, (attempts.get(serverId) ?? 0) + 1);
      chosen.inFlight++;
      const outcome = latency(chosen, random);
      const { took, ...observed } = observation(outcome, blame);
      clock.after(took, () => {
        chosen.inFlight--;
        selector.observe?.(chosen, { latency: took, ...observed });
        if (observed.end === "answer") latencies.push(clock.now() - start);
        queue.shift()?.();
        ended();
      });
    };
    run();
  }

  return {
    clock,
    selector,
    servers,
    taken: (serverId: string) => attempts.get(serverId) ?? 0,
    percentile: (share: number) =>
      latencies.toSorted((one, other) => one - other)[Math.floor(latencies.length * share)] ?? NaN,
    join: () => void servers.push(server("c")),
    observe(serverId: string, seen: Observation) {
      selector.observe?.(server(serverId), seen);
    },
    /** Answers enough to be known. */
    answers(serverId: string, taking: number) {
      for (let n = 0; n < 3; n++) selector.observe?.(server(serverId), { latency: taking, end: "answer" });
    },
    /** Which one of two servers is chosen every time. */
    favourite() {
      const [one, other] = servers;
      if (!one || !other) return undefined;
      const chosen = new Set(Array.from({ length: 50 }, () => selector.select([one, other], traits).serverId));
      return chosen.size === 1 ? [...chosen][0] : "both";
    },
    /** One request after the other. */
    sequential(requests: number) {
      let left = requests;
      const next = () => {
        if (left-- > 0) attempt(next);
      };
      next();
      while (clock.pending > 0) clock.advance(10);
    },
    /** Callers that each send a request when they have the answer to the one before. */
    concurrent(callers: number, requests: number) {
      let left = requests;
      const next = () => {
        if (left-- > 0) attempt(next);
      };
      for (let caller = 0; caller < callers; caller++) next();
      while (clock.pending > 0) clock.advance(10);
    },
    /** Requests that come at random moments, whether or not the earlier ones have their answers. */
    open(duration: number, perSecond: number) {
      const until = clock.now() + duration;
      const arrive = () => {
        if (clock.now() > until) return;
        attempt(() => {});
        clock.after((-Math.log(1 - random()) * SECOND) / perSecond, arrive);
      };
      clock.after((-Math.log(1 - random()) * SECOND) / perSecond, arrive);
      clock.advance(duration);
    },
  };
}

function observation(outcome: Outcome, blame: Failure["blame"]): { took: number } & Omit<Observation, "latency"> {
  if (typeof outcome === "number") return { took: outcome, end: "answer" };
  if ("cancelled" in outcome) return { took: outcome.cancelled, end: "cancelled" };
  const failure: Failure = { kind: "unavailable", blame, message: "it failed", code: 500 };
  return { took: outcome.failed, end: blame === "server" ? "failure" : "answer", failure };
}

function failing(serverId: string, after: number): (server: ServerView) => Outcome {
  return (asked) => (asked.serverId === serverId ? { failed: after } : 5);
}

/** What a pool without any knowledge of speed does. */
function takingTurns(): Selector {
  let turn = 0;
  return { select: (candidates) => candidates[turn++ % candidates.length] ?? candidates[0] };
}

function create(clock: ManualClock, random: () => number, options: ResponseTimeOptions): Selector {
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  return responseTime.create(
    { pool: "files", primary: true, clock, random, log, services: new Scope(), baseDirectory: "." },
    options,
  );
}

function server(serverId: string): TestServer {
  return {
    serverId,
    priority: 1,
    group: undefined,
    health: "healthy",
    enabled: true,
    inFlight: 0,
    maxConnections: 10,
    weight: 1,
  };
}

/** The same numbers in every run. */
function seeded(state: number): () => number {
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}
