import { beforeEach, describe, expect, test } from "vitest";
import { HEALTH } from "../testing/pool-bench.test-support.ts";
import { createManualClock, type ManualClock } from "../time/manual-clock.ts";
import { HealthRecord } from "./health-record.ts";

let clock: ManualClock;
let changes: string[];
let lastUsable: boolean;

beforeEach(() => {
  clock = createManualClock();
  changes = [];
  lastUsable = false;
});

function record(checked: boolean): HealthRecord {
  const made: HealthRecord = new HealthRecord(
    { ...HEALTH, failures: 3, successes: 2, ejection: 1_000 },
    checked,
    clock,
    {
      changed: (previous) => {
        if (previous !== made.state) changes.push(made.state);
      },
      mayEject: () => !lastUsable,
    },
  );
  return made;
}
const failed = (health: HealthRecord, times = 1) => {
  for (let count = 0; count < times; count++) health.check("failed", 1, "no answer");
};
const requestFailed = (health: HealthRecord, times = 1) => {
  for (let count = 0; count < times; count++) health.outcome("reset", 1, health.taken());
};

describe("checks", () => {
  test("one failure makes a server degraded, several in a row unhealthy, several successes healthy again", () => {
    const health = record(true);
    failed(health);
    expect([health.state, health.usable, health.problem]).toEqual(["degraded", true, "no answer"]);
    failed(health, 2);
    expect([health.state, health.usable]).toEqual(["unhealthy", false]);
    health.check("healthy", 5, undefined);
    expect(health.state).toBe("unhealthy");
    health.check("healthy", 5, undefined);
    expect([health.state, health.problem]).toEqual(["healthy", undefined]);
    expect(changes).toEqual(["degraded", "unhealthy", "healthy"]);
  });

  test("a success in between begins the count anew", () => {
    const health = record(true);
    failed(health, 2);
    health.check("healthy", 5, undefined);
    failed(health, 2);
    expect(health.state).toBe("degraded");
  });

  test("a slow server is degraded at once, and well only after good checks", () => {
    const health = record(true);
    health.check("degraded", 2_000, "slow");
    expect([health.state, health.problem]).toEqual(["degraded", "slow"]);
    for (let count = 0; count < 5; count++) health.outcome(undefined, 3, false);
    expect(health.state).toBe("degraded");
    health.check("healthy", 5, undefined);
    expect(health.state).toBe("degraded");
    health.check("healthy", 5, undefined);
    expect(health.state).toBe("healthy");
  });

  test("an unhealthy server that is slow comes back as degraded", () => {
    const health = record(true);
    failed(health, 3);
    health.check("degraded", 2_000, "slow");
    expect(health.state).toBe("unhealthy");
    health.check("degraded", 2_000, "slow");
    expect([health.state, health.consecutiveSuccesses]).toEqual(["degraded", 2]);
  });
});

describe("requests", () => {
  test("count towards unhealthy, and only checks lead back", () => {
    const health = record(true);
    requestFailed(health, 3);
    expect(health.state).toBe("unhealthy");
    for (let count = 0; count < 10; count++) health.outcome(undefined, 1, false);
    expect(health.state).toBe("unhealthy");
    health.check("healthy", 1, undefined);
    health.check("healthy", 1, undefined);
    expect(health.state).toBe("healthy");
  });

  test("lead back from degraded", () => {
    const health = record(true);
    requestFailed(health);
    health.outcome(undefined, 1, false);
    health.outcome(undefined, 1, false);
    expect(health.state).toBe("healthy");
  });

  test("never eject the last usable server", () => {
    const health = record(true);
    lastUsable = true;
    requestFailed(health, 10);
    expect([health.state, health.usable]).toEqual(["degraded", true]);
    lastUsable = false;
    requestFailed(health);
    expect(health.state).toBe("unhealthy");
  });
});

describe("where checks are off", () => {
  test("an ejected server rests, then one request at a time tries it", () => {
    const health = record(false);
    requestFailed(health, 3);
    expect(health.usable).toBe(false);
    clock.advance(999);
    expect(health.usable).toBe(false);
    clock.advance(1);
    expect(health.usable).toBe(true);
    expect(health.taken()).toBe(true);
    expect([health.usable, health.taken()]).toEqual([false, false]);
    health.outcome(undefined, 1, true);
    // It answered once; a second success makes it healthy.
    expect([health.state, health.usable]).toEqual(["unhealthy", true]);
    expect(health.taken()).toBe(true);
    health.outcome(undefined, 1, true);
    expect([health.state, health.usable]).toEqual(["healthy", true]);
    clock.advance(100_000);
    expect(health.taken()).toBe(false);
    expect(clock.pending).toBe(0);
  });

  test("the rest grows with every trial that fails, up to ten times", () => {
    const health = record(false);
    requestFailed(health, 3);
    const rests: number[] = [];
    for (let trial = 0; trial < 12; trial++) {
      const start = clock.now();
      while (!health.usable) clock.advance(100);
      rests.push(clock.now() - start);
      health.outcome("reset", 1, health.taken());
    }
    expect(rests.slice(0, 3)).toEqual([1_000, 2_000, 3_000]);
    expect(rests.slice(-2)).toEqual([10_000, 10_000]);
  });

  test("what had begun before the trial does not end it", () => {
    const health = record(false);
    requestFailed(health, 3);
    clock.advance(1_000);
    expect(health.taken()).toBe(true);
    health.outcome("reset", 1, false);
    health.outcome(undefined, 1, false);
    expect(health.usable).toBe(false);
    clock.advance(60_000);
    expect(health.usable).toBe(false);
    health.outcome("reset", 1, true);
    clock.advance(2_000);
    expect(health.usable).toBe(true);
  });

  test("a trial whose caller goes away is offered again at once", () => {
    const health = record(false);
    requestFailed(health, 3);
    clock.advance(1_000);
    health.taken();
    health.undecided();
    expect(health.usable).toBe(true);
    health.taken();
    health.outcome("reset", 1, true);
    health.undecided();
    expect(health.usable).toBe(false);
  });

  test("a success as the last resort makes it usable before its rest is over", () => {
    const health = record(false);
    requestFailed(health, 3);
    health.outcome(undefined, 1, false);
    expect(health.usable).toBe(true);
    expect(clock.pending).toBe(0);
  });

  test("a server whose checks are switched off while it is unhealthy rests and is tried", () => {
    const health = record(true);
    failed(health, 3);
    health.setChecked(false);
    clock.advance(1_000);
    expect(health.usable).toBe(true);
    health.setChecked(true);
    expect(health.usable).toBe(false);
    health.setChecked(true);
    expect(clock.pending).toBe(0);
  });

  test("nothing is left running when the record is disposed of", () => {
    const health = record(false);
    requestFailed(health, 3);
    health[Symbol.dispose]();
    expect(clock.pending).toBe(0);
  });
});

describe("a restored state", () => {
  test("goes on with the uptime that was measured before the restart", () => {
    const before = record(true);
    clock.advance(60_000);
    failed(before, 3);
    clock.advance(20_000);
    for (let count = 0; count < 2; count++) before.check("healthy", 5, undefined);
    expect(before.snapshot().uptime).toBe(75);
    const after = record(true);
    after.restore(before.stored());
    expect(after.snapshot().uptime).toBe(75);
    clock.advance(80_000);
    expect(after.snapshot().uptime).toBe(87.5);
  });

  test("of an unknown beginning counts for 24 hours, and is forgotten with them", () => {
    const health = record(true);
    health.restore({ status: "healthy", uptime: 74.6, consecutiveFailures: 0, consecutiveSuccesses: 1 });
    expect(health.snapshot().uptime).toBe(74.6);
    clock.advance(24 * 3_600_000);
    expect(health.snapshot().uptime).toBe(100);
  });

  const snapshot = { uptime: 50, consecutiveFailures: 7, consecutiveSuccesses: 0 };

  test("is a hint: one good check overturns it", () => {
    const health = record(true);
    health.restore({ ...snapshot, status: "unhealthy" });
    expect([health.state, health.consecutiveFailures]).toEqual(["unhealthy", 7]);
    health.check("healthy", 1, undefined);
    expect(health.state).toBe("healthy");
    const degraded = record(true);
    degraded.restore({ ...snapshot, status: "degraded" });
    degraded.outcome(undefined, 1, false);
    expect(degraded.state).toBe("healthy");
  });

  test("that a check confirms is a state like any other", () => {
    const health = record(true);
    health.restore({ ...snapshot, status: "unhealthy" });
    failed(health);
    health.check("healthy", 1, undefined);
    expect(health.state).toBe("unhealthy");
  });

  test("does not keep requests away where nobody checks", () => {
    const health = record(false);
    health.restore({ ...snapshot, status: "unhealthy" });
    expect([health.state, health.usable]).toEqual(["degraded", true]);
  });

  test("that was healthy changes nothing", () => {
    const health = record(true);
    health.restore({ ...snapshot, status: "healthy" });
    expect(health.consecutiveFailures).toBe(0);
  });
});

describe("a snapshot", () => {
  test("has the seed's fields and leaves out what is not known", () => {
    const health = record(true);
    expect(health.snapshot()).toEqual({
      status: "healthy",
      uptime: 100,
      consecutiveFailures: 0,
      consecutiveSuccesses: 0,
    });
    clock.advance(1_000);
    health.check("healthy", 12.345, undefined);
    expect(health.snapshot()).toEqual({
      status: "healthy",
      lastCheck: "2026-01-01T00:00:01.000Z",
      responseTime: 12.3,
      uptime: 100,
      consecutiveFailures: 0,
      consecutiveSuccesses: 1,
    });
  });

  test("tells the share of the last day spent not unhealthy", () => {
    const health = record(true);
    const hour = 3_600_000;
    clock.advance(hour);
    failed(health, 3);
    expect(health.snapshot().uptime).toBe(100);
    clock.advance(hour);
    expect(health.snapshot().uptime).toBe(50);
    health.check("healthy", 1, undefined);
    health.check("healthy", 1, undefined);
    clock.advance(2 * hour);
    expect(health.snapshot().uptime).toBe(75);
    clock.advance(22 * hour);
    expect(health.snapshot().uptime).toBe(100);
    failed(health, 3);
    clock.advance(48 * hour);
    expect(health.snapshot().uptime).toBe(0);
    health.check("healthy", 1, undefined);
    health.check("healthy", 1, undefined);
    clock.advance(48 * hour);
    failed(health, 3);
    clock.advance(6 * hour);
    health.check("healthy", 1, undefined);
    health.check("healthy", 1, undefined);
    expect(health.snapshot().uptime).toBe(75);
  });

  test("of a server that is down from the first moment", () => {
    const health = record(true);
    failed(health, 3);
    expect(health.snapshot().uptime).toBe(0);
  });
});

describe("a server that has recovered", () => {
  test("begins with a tenth of its share, which grows to the whole", () => {
    const health = new HealthRecord({ ...HEALTH, slowStart: 10_000 }, true, clock, {
      changed() {},
      mayEject: () => true,
    });
    expect(health.share).toBe(1);
    failed(health, 3);
    health.check("healthy", 1, undefined);
    health.check("healthy", 1, undefined);
    expect(health.share).toBeCloseTo(0.1);
    clock.advance(5_000);
    expect(health.share).toBeCloseTo(0.55);
    clock.advance(5_000);
    expect(health.share).toBe(1);
  });

  test("has its whole share at once where slow start is off", () => {
    const health = record(true);
    failed(health, 3);
    health.check("healthy", 1, undefined);
    health.check("healthy", 1, undefined);
    expect([health.state, health.share]).toEqual(["healthy", 1]);
  });
});

describe("requests that keep failing where checks find nothing", () => {
  const checkedWell = (health: HealthRecord) => {
    health.check("healthy", 1, undefined);
    health.check("healthy", 1, undefined);
  };

  test("take the server out for longer each time", () => {
    const health = record(true);
    requestFailed(health, 3);
    checkedWell(health);
    expect(health.state).toBe("healthy");
    for (const rest of [1_000, 2_000, 3_000]) {
      requestFailed(health, 3);
      checkedWell(health);
      clock.advance(rest - 1);
      checkedWell(health);
      expect(health.state).toBe("unhealthy");
      clock.advance(1);
      checkedWell(health);
      expect(health.state).toBe("healthy");
    }
  });

  test("are forgotten when checks fail as well: the way back is then the checks' alone", () => {
    const health = record(true);
    requestFailed(health, 3);
    checkedWell(health);
    requestFailed(health, 3);
    failed(health);
    checkedWell(health);
    expect(health.state).toBe("healthy");
  });

  test("are forgotten after a long time in which all was well", () => {
    const health = record(true);
    requestFailed(health, 3);
    checkedWell(health);
    clock.advance(10_000);
    requestFailed(health, 3);
    checkedWell(health);
    expect(health.state).toBe("healthy");
  });

  test("are told apart from checks", () => {
    const told: (boolean | undefined)[] = [];
    const hooks = {
      changed: (_previous: unknown, _reason: unknown, ejected?: boolean) => void told.push(ejected),
      mayEject: () => true,
    };
    requestFailed(new HealthRecord(HEALTH, true, clock, hooks), 3);
    failed(new HealthRecord(HEALTH, true, clock, hooks), 3);
    expect(told).toEqual([false, true, false, false]);
  });
});

test("refusals count only when they repeat themselves, and an answer in between begins the count anew", () => {
  const health = record(true);
  const refused = (times: number) => {
    for (let count = 0; count < times; count++) health.rejected("it answered 429", 1, health.taken());
  };
  refused(4);
  health.outcome(undefined, 1, false);
  refused(4);
  expect(health.state).toBe("healthy");
  refused(1);
  expect([health.state, health.problem]).toEqual(["degraded", "it answered 429"]);
});
