import type { Payloads, RequestOptions, RequestType, Results } from "../requests.ts";

/** `pending`: it waits for its turn. `retrying`: it failed, and waits to be tried again. */
export type TaskStatus = "pending" | "retrying" | "running" | "completed" | "failed";

export interface TaskOptions extends RequestOptions {
  /** Default: one that the queue makes up. */
  readonly taskId?: string;
  /** 1 is the most urgent, as with servers; of equals, the one that has waited longest. Default: 10. */
  readonly priority?: number;
  /** Milliseconds that one try may take. Default: the queue's. */
  readonly timeout?: number;
  /** Further tries after the first. Default: the queue's. */
  readonly maxRetries?: number;
}

/** A task as it is shown. */
export interface TaskInfo {
  readonly id: string;
  readonly type: RequestType;
  /** The tool's or prompt's name, or the resource's address. */
  readonly name: string;
  readonly priority: number;
  readonly status: TaskStatus;
  /** Tries so far, the one that runs included. */
  readonly tries: number;
  /** When it was queued, ISO 8601. */
  readonly queuedAt: string;
  /** Milliseconds from then to its end, for one that has ended. */
  readonly duration?: number;
  /** Why it failed, or why its last try did. */
  readonly error?: string;
}

/** A task in the queue's hands. */
export interface Task<T extends RequestType = RequestType> {
  readonly id: string;
  readonly type: T;
  readonly payload: Payloads[T];
  readonly options: TaskOptions;
  readonly priority: number;
  readonly order: number;
  readonly queuedAt: Date;
  /** On the clock's scale. */
  readonly start: number;
  status: TaskStatus;
  tries: number;
  error: string | undefined;
  readonly resolve: (result: Results[T]) => void;
  readonly reject: (error: unknown) => void;
  /** Ends what only waits for it. */
  readonly waiting: AbortController;
}

export function infoOf(task: Task, duration?: number): TaskInfo {
  const { id, type, payload, priority, status, tries, queuedAt, error } = task;
  return {
    id,
    type,
    name: "uri" in payload ? payload.uri : payload.name,
    priority,
    status,
    tries,
    queuedAt: queuedAt.toISOString(),
    ...(duration !== undefined && { duration }),
    ...(error !== undefined && { error }),
  };
}
