import {
  CallCancelledError,
  DeadlineExceededError,
  NoServerAvailableError,
  OutcomeUnknownError,
  createManualClock,
  isDavpoolError,
} from "@davpool/core";
import { describe, expect, test } from "vitest";
import type { RequestOptions } from "../requests.ts";
import { WorkQueue, type TaskRunner, type WorkQueueOptions } from "./work-queue.ts";

interface Run {
  readonly name: string;
  readonly options: RequestOptions & { readonly deadline: number };
  readonly answer: (result?: object) => void;
  readonly fail: (error: Error) => void;
}

/** A queue in front of a runner that answers when the test says so. Tools named `add…` must not be repeated. */
function bench(options: WorkQueueOptions = {}) {
  const clock = createManualClock();
  const runs: Run[] = [];
  const waiting = new Set<() => void>();
  const told: string[] = [];
  const runner: TaskRunner = {
    clock,
    run: (_type, payload, given) =>
      new Promise((resolve, reject) => {
        runs.push({
          name: "uri" in payload ? payload.uri : payload.name,
          options: given,
          answer: (result = { content: [] }) => resolve(result as never),
          fail: reject,
        });
        for (const look of waiting) look();
      }),
    mayRepeat: (_type, payload) => !("name" in payload && payload.name.startsWith("add")),
  };
  const queue = new WorkQueue(runner, options, {
    completed: (taskId) => told.push(`${taskId} completed`),
    failed: (taskId, error) => told.push(`${taskId} failed: ${codeOf(error)}`),
  });
  return {
    clock,
    queue,
    runs,
    told,
    call: (name: string, given = {}) => queue.enqueue("tool_call", { name }, given),
    /** Resolves with the run of this ordinal, once it has begun. */
    run: (ordinal: number) =>
      new Promise<Run>((resolve) => {
        const look = () => {
          const run = runs[ordinal - 1];
          if (!run) return;
          waiting.delete(look);
          resolve(run);
        };
        waiting.add(look);
        look();
      }),
  };
}

const unreachable = () => new NoServerAvailableError("mcp", [], []);

function codeOf(error: unknown): string {
  return isDavpoolError(error) ? error.code : String(error);
}

function endOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "completed",
    (error: unknown) => codeOf(error),
  );
}

/** All that is due in this turn has happened. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("turns", () => {
  test("go to the most urgent task, and of equals to the one that has waited longest", async () => {
    const { call, run, runs, queue } = bench({ concurrentTasks: 1 });
    const first = call("first");
    const rest = [
      call("usual"),
      call("leisurely", { priority: 20 }),
      call("urgent", { priority: 1 }),
      call("usual too", { priority: 10 }),
    ];
    expect(queue.getPendingTasks().map(({ name }) => name)).toEqual(["urgent", "usual", "usual too", "leisurely"]);
    for (let ordinal = 1; ordinal <= 5; ordinal++) (await run(ordinal)).answer();
    await Promise.all([first, ...rest]);
    expect(runs.map(({ name }) => name)).toEqual(["first", "urgent", "usual", "usual too", "leisurely"]);
  });

  test("are no more at a time than the options say", async () => {
    const { call, runs, run, queue } = bench({ concurrentTasks: 3 });
    const tasks = Array.from({ length: 8 }, (_none, index) => call(`t${index}`));
    await settled();
    expect(runs).toHaveLength(3);
    expect(queue.getStats()).toMatchObject({ pending: 5, inProgress: 3, completed: 0 });
    runs[1]?.answer();
    await run(4);
    await settled();
    expect(runs).toHaveLength(4);
    for (let ordinal = 1; ordinal <= 8; ordinal++) (await run(ordinal)).answer();
    await Promise.all(tasks);
    expect(queue.getStats()).toMatchObject({ pending: 0, inProgress: 0, completed: 8, failed: 0, retries: 0 });
  });
});

describe("a try that fails", () => {
  test("is followed by others after pauses that double, as many as the options say", async () => {
    const { call, run, runs, clock, queue } = bench({ maxRetries: 2, retryDelay: 1_000 });
    const end = endOf(call("read"));
    (await run(1)).fail(unreachable());
    await settled();
    expect(queue.getPendingTasks()).toMatchObject([{ name: "read", status: "retrying", tries: 1 }]);
    expect(queue.getPendingTasks()[0]?.error).toContain("has no servers");
    clock.advance(999);
    await settled();
    expect(runs).toHaveLength(1);
    clock.advance(1);
    (await run(2)).fail(unreachable());
    await settled();
    clock.advance(1_999);
    await settled();
    expect(runs).toHaveLength(2);
    clock.advance(1);
    (await run(3)).fail(unreachable());
    expect(await end).toBe("NO_SERVER_AVAILABLE");
    expect(queue.getStats()).toMatchObject({ completed: 0, failed: 1, retries: 2 });
  });

  test("takes no turn from others while it pauses", async () => {
    const { call, run, clock } = bench({ concurrentTasks: 1, retryDelay: 1_000 });
    const first = call("first");
    const second = call("second");
    (await run(1)).fail(unreachable());
    const other = await run(2);
    expect(other.name).toBe("second");
    other.answer();
    await second;
    clock.advance(1_000);
    (await run(3)).answer();
    await first;
  });

  test("is the last of a task that may have been carried out and must not be repeated", async () => {
    const { call, run, runs, clock } = bench();
    const ends = [endOf(call("add")), endOf(call("put"))];
    const unknown = () => new OutcomeUnknownError("tools/call", []);
    (await run(1)).fail(unknown());
    (await run(2)).fail(unknown());
    await settled();
    clock.advance(1_000);
    (await run(3)).answer();
    expect(await Promise.all(ends)).toEqual(["OUTCOME_UNKNOWN", "completed"]);
    expect(runs.map(({ name }) => name)).toEqual(["add", "put", "put"]);
  });

  test("leads to another one of any task when nothing was sent, and of none when the server has answered", async () => {
    const { call, run, clock } = bench();
    const add = endOf(call("add"));
    const read = endOf(call("read"));
    (await run(1)).fail(unreachable());
    (await run(2)).fail(new Error("what the server said"));
    expect(await read).toBe("Error: what the server said");
    await settled();
    clock.advance(1_000);
    (await run(3)).answer();
    expect(await add).toBe("completed");
  });

  test("ended in time: each try has its own, and one that ran out of it is followed by another", async () => {
    const { call, run, clock } = bench({ taskTimeout: 60_000 });
    const task = call("read", { timeout: 5_000, maxRetries: 1 });
    const first = await run(1);
    expect(first.options.deadline).toBe(5_000);
    first.fail(new DeadlineExceededError("tools/call", 5_000, []));
    await settled();
    clock.advance(1_000);
    const second = await run(2);
    expect(second.options.deadline).toBe(5_000);
    second.answer();
    await task;
    const usual = call("read");
    expect((await run(3)).options.deadline).toBe(60_000);
    (await run(3)).answer();
    await usual;
  });
});

describe("a task", () => {
  test("whose caller goes away is not carried out, nor tried again", async () => {
    const { call, run, runs, clock } = bench({ concurrentTasks: 1 });
    const abort = new AbortController();
    const running = call("running");
    const waiting = endOf(call("waiting", { signal: abort.signal }));
    const gone = endOf(call("gone", { signal: AbortSignal.abort() }));
    abort.abort();
    expect(await Promise.all([waiting, gone])).toEqual(["CANCELLED", "CANCELLED"]);
    (await run(1)).answer();
    await running;

    const again = new AbortController();
    const pausing = endOf(call("pausing", { signal: again.signal }));
    (await run(2)).fail(unreachable());
    await settled();
    again.abort();
    expect(await pausing).toBe("CANCELLED");
    clock.advance(60_000);
    await settled();
    expect(runs.map(({ name }) => name)).toEqual(["running", "pausing"]);
  });

  test("that runs ends as its request does", async () => {
    const { call, run } = bench();
    const abort = new AbortController();
    const end = endOf(call("read", { signal: abort.signal }));
    const { options, fail } = await run(1);
    abort.abort();
    expect(options.signal?.aborted).toBe(true);
    fail(new CallCancelledError("tools/call", undefined));
    expect(await end).toBe("CANCELLED");
  });

  test("has the id that it is given, as long as no other has it", async () => {
    const { call, run, queue, told } = bench();
    const task = call("read", { taskId: "nightly" });
    expect(await endOf(call("read", { taskId: "nightly" }))).toBe("DUPLICATE_TASK");
    expect(queue.getTask("nightly")).toMatchObject({ id: "nightly", name: "read", tries: 1, status: "running" });
    (await run(1)).answer();
    await task;
    expect(queue.getTask("nightly")).toMatchObject({ status: "completed", duration: 0 });
    expect(told).toEqual(["nightly completed"]);
    const second = call("read", { taskId: "nightly" });
    (await run(2)).fail(new Error("no"));
    expect(await endOf(second)).toBe("Error: no");
    expect(queue.getTask("nightly")).toMatchObject({ status: "failed", error: "no" });
    expect(told).toEqual(["nightly completed", "nightly failed: Error: no"]);
  });
});

test("a priority is a number", async () => {
  const { call, queue } = bench();
  expect(await endOf(call("read", { priority: NaN }))).toMatch(/^RangeError: The priority of a task is a number/);
  expect(queue.getStats()).toMatchObject({ pending: 0, failed: 0 });
});

describe("what has ended", () => {
  test("is remembered up to a number, and forgotten on request", async () => {
    const { call, run, queue } = bench({ keepFinished: 3 });
    const tasks = Array.from({ length: 5 }, () => call("read"));
    for (let ordinal = 1; ordinal <= 5; ordinal++) (await run(ordinal)).answer();
    await Promise.all(tasks);
    expect(queue.getStats()).toMatchObject({ completed: 5, finished: 3 });
    expect(queue.getTask("task-2")).toBeUndefined();
    expect(queue.getTask("task-5")).toMatchObject({ status: "completed" });
    expect(queue.clearCompleted()).toBe(3);
    expect(queue.getTask("task-5")).toBeUndefined();
    expect(queue.getStats()).toMatchObject({ completed: 5, finished: 0 });
  });
});

describe("a queue that closes", () => {
  test("has what it has taken carried out, and takes nothing more", async () => {
    const { call, run, queue, clock } = bench({ concurrentTasks: 1 });
    const tasks = [call("one"), call("two")];
    const closing = queue.close();
    expect(await endOf(call("three"))).toBe("QUEUE_CLOSED");
    (await run(1)).answer();
    (await run(2)).fail(unreachable());
    await settled();
    clock.advance(1_000);
    (await run(3)).answer();
    await Promise.all(tasks);
    await closing;
    expect(clock.pending).toBe(0);
  });

  test("drops what still waits when the time is up", async () => {
    const { call, run, queue, clock, told } = bench({ concurrentTasks: 1 });
    const running = call("one");
    const waiting = endOf(call("two"));
    const closing = queue.close({ drain: 500 });
    clock.advance(500);
    await closing;
    expect(await waiting).toBe("QUEUE_CLOSED");
    (await run(1)).answer();
    await running;
    await queue.onIdle();
    expect(told).toEqual(["task-2 failed: QUEUE_CLOSED", "task-1 completed"]);
  });
});
