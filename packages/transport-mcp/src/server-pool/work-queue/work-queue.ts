import { CallCancelledError, describeError, sleep, type Clock } from "@davpool/core";
import PQueue from "p-queue";
import { DuplicateTaskError, QueueClosedError } from "../errors.ts";
import { METHOD_OF, type Payloads, type RequestOptions, type RequestType, type Results } from "../requests.ts";
import { mayRunAgain } from "./may-run-again.ts";
import { infoOf, type Task, type TaskInfo, type TaskOptions } from "./task.ts";

/** Every time is in milliseconds. */
export interface WorkQueueOptions {
  /** Tasks that run at one time. Default: 20. */
  readonly concurrentTasks?: number;
  /** Further tries of a task after the first. Default: 3. */
  readonly maxRetries?: number;
  /** Pause before a task is tried again; doubles with every try. Default: 1,000. */
  readonly retryDelay?: number;
  /** Longest such pause. Default: 30,000. */
  readonly longestRetryDelay?: number;
  /** Time one try of a task may take, its wait for the queue not counted. Default: 60,000. */
  readonly taskTimeout?: number;
  /** Ended tasks that are remembered; the oldest are forgotten first. Default: 1,000. */
  readonly keepFinished?: number;
  /** Time that tasks have to end when the queue is closed. Default: 30,000. */
  readonly drain?: number;
}

export interface WorkQueueStats {
  /** Tasks that wait for their turn, or to be tried again. */
  readonly pending: number;
  readonly inProgress: number;
  /** Since the queue was made, as those that follow. */
  readonly completed: number;
  readonly failed: number;
  /** Tries beyond the first of each task. */
  readonly retries: number;
  /** Ended tasks that are remembered. */
  readonly finished: number;
}

/** Carries out what the queue decides to run: an `McpServerPool`, or whatever a test puts in its place. */
export interface TaskRunner {
  readonly clock: Clock;
  run<T extends RequestType>(
    type: T,
    payload: Payloads[T],
    options: RequestOptions & { readonly deadline: number },
  ): Promise<Results[T]>;
  /** Whether carrying it out twice is the same as once. */
  mayRepeat<T extends RequestType>(type: T, payload: Payloads[T], options: RequestOptions): boolean;
}

/** Told how tasks end. */
export interface TaskListener {
  completed?(taskId: string, result: unknown): void;
  failed?(taskId: string, error: unknown): void;
}

const DEFAULTS = {
  concurrentTasks: 20,
  maxRetries: 3,
  retryDelay: 1_000,
  longestRetryDelay: 30_000,
  taskTimeout: 60_000,
  keepFinished: 1_000,
  drain: 30_000,
} as const satisfies Required<WorkQueueOptions>;

const USUAL_PRIORITY = 10;

/**
 * Tasks wait here for their turn, are carried out by the pool, and tried again when that failed.
 *
 * A server's death moves what may be moved to another one within the try; where nobody was left, a later try follows. A
 * task that must not be repeated is never carried out twice: it ends with its answer, or with `OutcomeUnknownError`.
 */
export class WorkQueue implements AsyncDisposable {
  readonly #runner: TaskRunner;
  readonly #options: Required<WorkQueueOptions>;
  readonly #listener: TaskListener;
  readonly #turns: PQueue;
  /** Tasks that have not ended. */
  readonly #open = new Map<string, Task>();
  /** Those that have, oldest first. */
  readonly #finished = new Map<string, TaskInfo>();
  #count = 0;
  #completed = 0;
  #failed = 0;
  #retries = 0;
  #closed: Promise<void> | undefined;
  readonly #idle = new Set<() => void>();

  constructor(runner: TaskRunner, options: WorkQueueOptions = {}, listener: TaskListener = {}) {
    this.#runner = runner;
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    this.#options = { ...DEFAULTS, ...(Object.fromEntries(given) as WorkQueueOptions) };
    this.#listener = listener;
    this.#turns = new PQueue({ concurrency: this.#options.concurrentTasks });
  }

  /**
   * Queues a task.
   * @returns its result, once it has been carried out.
   * @throws QueueClosedError, DuplicateTaskError, CallCancelledError: it was not carried out.
   * @throws OutcomeUnknownError, and what else the request ends with when no more tries are left.
   */
  enqueue<T extends RequestType>(type: T, payload: Payloads[T], options: TaskOptions = {}): Promise<Results[T]> {
    const order = ++this.#count;
    const id = options.taskId ?? `task-${order}`;
    if (this.#closed) return Promise.reject(new QueueClosedError(id));
    if (this.#open.has(id)) return Promise.reject(new DuplicateTaskError(id));
    const { priority = USUAL_PRIORITY } = options;
    if (!Number.isFinite(priority))
      return Promise.reject(
        new RangeError(`The priority of a task is a number, 1 the most urgent; this is ${priority}.`),
      );
    const { clock } = this.#runner;
    const { promise, resolve, reject } = Promise.withResolvers<Results[T]>();
    const task: Task<T> = {
      id,
      type,
      payload,
      options,
      priority,
      order,
      queuedAt: clock.wall(),
      start: clock.now(),
      status: "pending",
      tries: 0,
      error: undefined,
      resolve,
      reject,
      waiting: new AbortController(),
    };
    this.#open.set(id, task as unknown as Task);
    const { signal } = options;
    if (signal) {
      const cancel = () => this.#dropped(task, new CallCancelledError(METHOD_OF[type], signal.reason));
      signal.addEventListener("abort", cancel, { once: true, signal: task.waiting.signal });
      if (signal.aborted) cancel();
    }
    if (this.#open.has(id)) this.#await(task);
    return promise;
  }

  /** Tasks that wait for their turn, or to be tried again: the most urgent first. */
  getPendingTasks(): readonly TaskInfo[] {
    return [...this.#open.values()]
      .filter(({ status }) => status !== "running")
      .toSorted((a, b) => a.priority - b.priority || a.order - b.order)
      .map((task) => infoOf(task));
  }

  /** A task that has not ended, or one of the last that have. */
  getTask(taskId: string): TaskInfo | undefined {
    const task = this.#open.get(taskId);
    return task ? infoOf(task) : this.#finished.get(taskId);
  }

  getStats(): WorkQueueStats {
    let inProgress = 0;
    for (const { status } of this.#open.values()) if (status === "running") inProgress++;
    return {
      pending: this.#open.size - inProgress,
      inProgress,
      completed: this.#completed,
      failed: this.#failed,
      retries: this.#retries,
      finished: this.#finished.size,
    };
  }

  /** Forgets the tasks that have ended. The counts stay. @returns how many it forgot. */
  clearCompleted(): number {
    const { size } = this.#finished;
    this.#finished.clear();
    return size;
  }

  /** Resolves when no task waits or runs. */
  onIdle(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.add(resolve));
  }

  /**
   * Takes no more tasks, and has those it has taken carried out; what still waits when the time is up ends with
   * `QueueClosedError`. What runs then ends by itself, within its own time.
   * @param options `drain`: milliseconds. Default: the queue's.
   */
  close({ drain = this.#options.drain }: { readonly drain?: number } = {}): Promise<void> {
    return (this.#closed ??= this.#close(drain));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(drain: number): Promise<void> {
    const limit = new AbortController();
    const drained = this.onIdle().then(() => limit.abort());
    await Promise.race([drained, drain > 0 ? sleep(this.#runner.clock, drain, { signal: limit.signal }) : undefined]);
    for (const task of this.#open.values())
      if (task.status !== "running") this.#dropped(task, new QueueClosedError(task.id));
  }

  /** Puts a task in line. */
  #await<T extends RequestType>(task: Task<T>): void {
    task.status = "pending";
    // Never rejects. One that was dropped meanwhile has nothing left to do.
    void this.#turns.add(() => (task.status === "pending" ? this.#try(task) : undefined), { priority: -task.priority });
  }

  async #try<T extends RequestType>(task: Task<T>): Promise<void> {
    const { type, payload, options } = task;
    task.status = "running";
    task.tries++;
    if (task.tries > 1) this.#retries++;
    const { timeout = this.#options.taskTimeout, maxRetries = this.#options.maxRetries } = options;
    let result: Results[T];
    try {
      result = await this.#runner.run(type, payload, { ...options, deadline: timeout });
    } catch (error) {
      task.error = describeError(error);
      const again = task.tries <= maxRetries && mayRunAgain(error, this.#runner.mayRepeat(type, payload, options));
      if (again) void this.#later(task);
      else this.#fail(task, error);
      return;
    }
    this.#ended(task, "completed");
    this.#completed++;
    task.resolve(result);
    this.#listener.completed?.(task.id, result);
  }

  /** While it pauses, another task has its turn. */
  async #later<T extends RequestType>(task: Task<T>): Promise<void> {
    task.status = "retrying";
    const { retryDelay, longestRetryDelay } = this.#options;
    const pause = Math.min(retryDelay * 2 ** (task.tries - 1), longestRetryDelay);
    if (pause > 0) await sleep(this.#runner.clock, pause, { signal: task.waiting.signal });
    if (this.#open.get(task.id)?.waiting === task.waiting) this.#await(task);
  }

  /** It ends before its turn has come. */
  #dropped<T extends RequestType>(task: Task<T>, error: Error): void {
    if (task.status !== "pending" && task.status !== "retrying") return;
    task.error = describeError(error);
    this.#fail(task, error);
  }

  #fail<T extends RequestType>(task: Task<T>, error: unknown): void {
    this.#ended(task, "failed");
    this.#failed++;
    task.reject(error);
    this.#listener.failed?.(task.id, error);
  }

  #ended<T extends RequestType>(task: Task<T>, status: "completed" | "failed"): void {
    task.status = status;
    if (status === "completed") task.error = undefined;
    task.waiting.abort();
    this.#open.delete(task.id);
    const { keepFinished } = this.#options;
    this.#finished.delete(task.id);
    this.#finished.set(task.id, infoOf(task as unknown as Task, this.#runner.clock.now() - task.start));
    for (const oldest of this.#finished.keys()) {
      if (this.#finished.size <= keepFinished) break;
      this.#finished.delete(oldest);
    }
    if (this.#open.size > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
  }
}
