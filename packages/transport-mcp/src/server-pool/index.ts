export { McpServerPool } from "./server-pool.ts";
export { optionsFromEnvironment } from "./environment.ts";
export type { McpServerInput, McpServerPoolOptions } from "./options.ts";
export type { BatchOptions, BatchStats } from "./batching.ts";
export type { CacheOptions, CacheStats } from "./cache.ts";
export type { Strategy, StrategyName } from "./strategy.ts";
export type { McpServerPoolEvents } from "./events.ts";
export type { McpServerInfo, McpServerPoolStats, McpServerState } from "./reports.ts";
export type { McpCircuit } from "./circuit.ts";
export type { ServerMetrics } from "./metrics.ts";
export type { Entries, Payloads, RequestOptions, RequestType, Results } from "./requests.ts";
export type { Aggregated, Aggregation, Answers, ChosenAnswer, McpBroadcastOptions, ServerAnswer } from "./aggregate.ts";
export {
  DuplicateTaskError,
  McpAnswerError,
  NoAnswerError,
  NoMajorityError,
  QueueClosedError,
  ServerRefusedError,
  UnknownToolError,
} from "./errors.ts";
export { WorkQueue } from "./work-queue/work-queue.ts";
export type { TaskListener, TaskRunner, WorkQueueOptions, WorkQueueStats } from "./work-queue/work-queue.ts";
export type { TaskInfo, TaskOptions, TaskStatus } from "./work-queue/task.ts";
