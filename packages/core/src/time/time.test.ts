import { describe, expect, test, vi } from "vitest";
import { Deadlines, type Timed } from "./deadlines.ts";
import { DurationSchema, milliseconds, type Duration } from "./duration.ts";
import { createManualClock } from "./manual-clock.ts";
import { pause, within } from "./patience.ts";
import { retryAfter } from "./retry-after.ts";
import { sleep } from "./sleep.ts";
import { systemClock } from "./system-clock.ts";

function entry(expiresAt: number, ended: string[]): Timed {
  return { expiresAt, expire: () => void ended.push("expired"), close: ({ message }) => void ended.push(message) };
}

describe("deadlines", () => {
  test("arm one timer for all, and none when there is nothing to time", () => {
    const clock = createManualClock();
    const deadlines = new Deadlines(clock);
    expect(clock.pending).toBe(0);
    const ended: string[] = [];
    const entries = [entry(25, ended), entry(1_000, ended), entry(1_000, ended)];
    for (const one of entries) deadlines.add(one);
    expect(clock.pending).toBe(1);
    clock.advance(29);
    expect(ended).toEqual([]);
    clock.advance(1);
    expect([ended, clock.pending]).toEqual([["expired"], 1]);
    for (const one of entries) deadlines.remove(one);
    clock.advance(10);
    expect([ended, clock.pending]).toEqual([["expired"], 0]);
  });

  test("look again at what was moved", () => {
    const clock = createManualClock();
    const deadlines = new Deadlines(clock);
    const ended: string[] = [];
    const one = entry(20, ended);
    deadlines.add(one);
    clock.advance(10);
    one.expiresAt = 100;
    clock.advance(80);
    expect(ended).toEqual([]);
    clock.advance(10);
    expect(ended).toEqual(["expired"]);
  });

  test("go on when one entry fails to end", () => {
    const clock = createManualClock();
    const deadlines = new Deadlines(clock);
    const ended: string[] = [];
    deadlines.add({
      expiresAt: 5,
      expire: () => {
        throw new Error("oh no");
      },
      close() {},
    });
    deadlines.add(entry(5, ended));
    expect(() => clock.advance(10)).toThrow("oh no");
    clock.advance(10);
    expect(ended).toEqual(["expired"]);
  });

  test("end everything when the pool closes", () => {
    const clock = createManualClock();
    const deadlines = new Deadlines(clock);
    const ended: string[] = [];
    deadlines.add(entry(5, ended));
    deadlines.close(new Error("closed"));
    clock.advance(100);
    expect([ended, clock.pending]).toEqual([["closed"], 0]);
  });
});

describe("patience", () => {
  test("pauses until the time has come, the signal aborts or the pool closes", async () => {
    const clock = createManualClock();
    const deadlines = new Deadlines(clock);
    const stop = new AbortController();
    const pauses = [
      pause(deadlines, 50, undefined),
      pause(deadlines, 500, stop.signal),
      pause(deadlines, 500, undefined),
    ];
    clock.advance(50);
    await pauses[0];
    stop.abort();
    await pauses[1];
    deadlines.close(new Error("closed"));
    await pauses[2];
    clock.advance(10);
    expect(clock.pending).toBe(0);
  });

  test("waits for work, but not for ever", async () => {
    const clock = createManualClock();
    const deadlines = new Deadlines(clock);
    expect(await within(Promise.resolve(1), deadlines, 50, undefined)).toBe(1);
    await expect(within(Promise.reject(new Error("no")), deadlines, 50, undefined)).rejects.toThrow("no");
    const waiting = within(new Promise(() => undefined), deadlines, 50, undefined);
    clock.advance(50);
    await expect(waiting).rejects.toThrow("it took too long");
    clock.advance(10);
    expect(clock.pending).toBe(0);
  });
});

describe("durations", () => {
  test.each<[Duration, number]>([
    [0, 0],
    [250, 250],
    ["500ms", 500],
    ["30s", 30_000],
    ["1.5h", 5_400_000],
    ["5m", 300_000],
    ["2d", 172_800_000],
  ])("%s is %d milliseconds", (written, expected) => {
    expect(milliseconds(written)).toBe(expected);
  });

  test.each(["", "5", "1 day", "-1s", "1e3s"])('"%s" is none', (written) => {
    expect(() => milliseconds(written as Duration)).toThrow(RangeError);
  });

  test("carry what their schema is given", () => {
    expect(DurationSchema({ default: "1s", description: "How long." })).toMatchObject({
      default: "1s",
      description: "How long.",
    });
  });
});

describe("the manual clock", () => {
  test("runs what falls due in order, each at its own time, also what is added meanwhile", () => {
    const clock = createManualClock(new Date("2030-01-01T00:00:00Z"));
    const seen: (string | number)[] = [];
    clock.after(30, () => seen.push("c", clock.now()));
    clock.after(10, () => {
      seen.push("a", clock.now());
      clock.after(5, () => seen.push("b", clock.now()));
    });
    clock.after(30, () => seen.push("d"));
    const cancelled = clock.after(20, () => seen.push("never"));
    cancelled[Symbol.dispose]();
    cancelled[Symbol.dispose]();
    clock.after(-5, () => seen.push("now"));
    clock.advance(30);
    expect(seen).toEqual(["now", "a", 10, "b", 15, "c", 30, "d"]);
    expect(clock.wall().toISOString()).toBe("2030-01-01T00:00:00.030Z");
  });
});

describe("the system's clock", () => {
  test("uses the platform's timers, cancels them, and lets background ones go", () => {
    const timer = { unref: vi.fn<() => void>() };
    const set = vi.spyOn(globalThis, "setTimeout").mockReturnValue(timer as never);
    const clear = vi.spyOn(globalThis, "clearTimeout").mockReturnValue();
    try {
      const run = () => undefined;
      systemClock.after(5, run)[Symbol.dispose]();
      expect(set).toHaveBeenLastCalledWith(run, 5);
      expect(clear).toHaveBeenCalledWith(timer);
      expect(timer.unref).not.toHaveBeenCalled();
      // The platform would run a longer one at once.
      systemClock.after(86_400_000 * 365, run, { background: true });
      expect(set).toHaveBeenLastCalledWith(run, 2_147_483_647);
      expect(timer.unref).toHaveBeenCalled();
    } finally {
      set.mockRestore();
      clear.mockRestore();
    }
  });

  test("never goes back, and knows the date", () => {
    expect(systemClock.now()).toBeLessThanOrEqual(systemClock.now());
    expect(systemClock.wall()).toBeInstanceOf(Date);
  });
});

describe("Retry-After", () => {
  const now = new Date("2026-01-01T00:00:00Z");

  test.each([
    ["120", 120_000],
    [" 0 ", 0],
    ["Thu, 01 Jan 2026 00:00:05 GMT", 5_000],
    ["Wed, 21 Oct 2015 07:28:00 GMT", 0],
    ["soon", undefined],
    ["", undefined],
    [undefined, undefined],
    [["3", "4"], 3_000],
    ["9".repeat(400), Infinity],
  ])("%o asks to wait %o ms", (header, expected) => {
    expect(retryAfter(header, now)).toBe(expected);
  });
});

describe("a sleep", () => {
  test("ends with its time", async () => {
    const clock = createManualClock();
    const slept = sleep(clock, 1_000);
    clock.advance(999);
    expect(clock.pending).toBe(1);
    clock.advance(1);
    await slept;
    expect(clock.pending).toBe(0);
  });

  test("ends when its signal aborts, and does not begin after that", async () => {
    const clock = createManualClock();
    const ended = new AbortController();
    const slept = sleep(clock, 1_000, { signal: ended.signal });
    ended.abort();
    await slept;
    await sleep(clock, 1_000, { signal: ended.signal });
    expect(clock.pending).toBe(0);
  });
});
