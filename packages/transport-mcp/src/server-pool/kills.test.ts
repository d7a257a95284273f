import { isDavpoolError } from "@davpool/core";
import { expect, test } from "vitest";
import { McpServerPool } from "./server-pool.ts";
import { createReplicas, textOf } from "./testing/replicas.test-support.ts";

/** Set it for the long form: more tasks, more kills. */
const LONG = process.env["DAVPOOL_LONG_TESTS"] !== undefined;

const QUICK_TO_RECOVER = { healthCheckInterval: 100, reconnectDelay: 50 };

test("64 calls at a time do not notice that replicas are killed one after another", async () => {
  await using replicas = await createReplicas(3);
  await using pool = await McpServerPool.open({
    ...QUICK_TO_RECOVER,
    servers: replicas.inputs,
    maxConnections: 64,
    queue: { concurrentTasks: 64 },
  });
  await pool.listTools();
  const failures: unknown[] = [];
  const calls = LONG ? 6_400 : 1_280;
  let begun = 0;
  let answered = 0;
  let killing = Promise.resolve();
  const caller = async () => {
    while (begun < calls) {
      const call = begun++;
      try {
        expect(textOf(await pool.callTool("read", { call }))).toContain(`{"call":${call}}`);
        if (++answered % 64 === 0) killing = killing.then(() => replicas.killNext());
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: 64 }, caller));
  await killing;
  expect(failures).toEqual([]);
  expect(answered).toBe(calls);
  expect(replicas.kills).toBeGreaterThan(3);
  // The kills met calls that were under way.
  expect(pool.getStats().requests.failoverCount).toBeGreaterThan(0);
  expect(pool.queue.getStats()).toMatchObject({ completed: calls, failed: 0, pending: 0, inProgress: 0 });
});

test("tasks that may be repeated complete while replicas are killed; none of the others runs twice", async () => {
  // Each process dies of its tenth call as well, which it has carried out by then, and others die with it.
  await using replicas = await createReplicas(3, { faults: [{ kind: "crash", after: 9 }] });
  await using pool = await McpServerPool.open({
    ...QUICK_TO_RECOVER,
    servers: replicas.inputs,
    queue: { concurrentTasks: 12, retryDelay: 10 },
  });
  await pool.listTools();
  const tasks = LONG ? 1_000 : 200;
  let killing = Promise.resolve();
  let ended = 0;
  const outcomes = new Map<string, string>();
  const kill = () => {
    if (++ended % 10 === 0) killing = killing.then(() => replicas.killNext());
  };
  pool.on("task-completed", kill);
  pool.on("task-failed", kill);

  await Promise.all(
    Array.from({ length: tasks }, async (_none, task) => {
      const tool = (["read", "put", "add"] as const)[task % 3] as string;
      const key = JSON.stringify({ task });
      try {
        expect(textOf(await pool.callTool(tool, { task }))).toContain(`${tool} ${key}`);
        outcomes.set(`${tool} ${key}`, "completed");
      } catch (error) {
        if (!isDavpoolError(error)) throw error;
        outcomes.set(`${tool} ${key}`, error.code);
      }
    }),
  );
  await killing;

  expect(replicas.kills).toBeGreaterThanOrEqual(tasks / 10 - 1);
  const of = (tool: string) => [...outcomes].filter(([task]) => task.startsWith(tool));
  expect(of("read").filter(([, outcome]) => outcome !== "completed")).toEqual([]);
  expect(of("put").filter(([, outcome]) => outcome !== "completed")).toEqual([]);
  const read = replicas.readBy("add");
  for (const [task, outcome] of of("add")) {
    const times = read.get(task.slice("add ".length)) ?? 0;
    expect(["completed", "OUTCOME_UNKNOWN"], task).toContain(outcome);
    if (outcome === "completed") expect(times, task).toBe(1);
    else expect(times, task).toBeLessThanOrEqual(1);
  }
  expect(of("add").map(([, outcome]) => outcome)).toContain("OUTCOME_UNKNOWN");
  expect(outcomes.size).toBe(tasks);
  expect(pool.getStats()).toMatchObject({ tasks: 0, queue: { pending: 0, inProgress: 0 } });
});
