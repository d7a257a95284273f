import type { AnyPlugin, Clock, Log, ServerProfile, Untyped } from "@davpool/core";
import type { McpProfile } from "../wire.ts";
import type { BatchOptions } from "./batching.ts";
import type { CacheOptions } from "./cache.ts";
import type { Strategy } from "./strategy.ts";
import type { WorkQueueOptions } from "./work-queue/work-queue.ts";

/** A server as a program names it: a `command` to run, or a `url`. Every time is in milliseconds. */
export interface McpServerInput
  extends Partial<Omit<ServerProfile, "serverId">>, Omit<McpProfile, keyof ServerProfile> {
  /** A letter or digit, then up to 31 letters, digits, dots, dashes or underscores; unique in the pool. */
  readonly serverId: string;
  /** Milliseconds between two health checks, 0 for none. Default: the pool's. */
  readonly healthCheckInterval?: number;
}

/** What an {@link McpServerPool} is like. Every time is in milliseconds. */
export interface McpServerPoolOptions {
  /** Its name in errors and metrics. Default: `mcp`. */
  readonly name?: string;
  /** How a server is picked: a name, or a plugin. Default: `round-robin`. */
  readonly strategy?: Strategy;
  /** Servers that are there from the beginning. */
  readonly servers?: readonly McpServerInput[];

  /** Time between two checks of a server that is well; 0 for none. Default: 30,000. */
  readonly healthCheckInterval?: number;
  /** Time one check may take. Default: 5,000. */
  readonly healthCheckTimeout?: number;
  /** Failures in a row, of checks and requests, after which a server is offline. Default: 3. */
  readonly offlineThreshold?: number;
  /** Checks in a row that must go well before it takes requests again. Default: 2. */
  readonly recoveryThreshold?: number;
  /** Time between two checks of a server that is not well, and first pause before its session is begun anew. Default: 2,000. */
  readonly reconnectDelay?: number;
  /**
   * Checks of an offline server that may fail before the pool gives it up; it is then configured, and disconnected until
   * {@link McpServerPool.reconnectServer}. Default: no end.
   */
  readonly reconnectAttempts?: number;

  /** Time one server may take for a request without any progress. Default: 10,000. */
  readonly timeout?: number;
  /** Time a whole request may take, all servers together. Default: 50,000. */
  readonly deadline?: number;
  /** Further attempts of a request after the first, all servers together. Default: 3. */
  readonly maxRetries?: number;
  /** Time an HTTP connection may take to stand. Default: 10,000. */
  readonly connectTimeout?: number;
  /** Time a session may take to begin, the start of a process included. Default: 60,000. */
  readonly startTimeout?: number;
  /** Requests at one time for a server that does not say. Default: 10. */
  readonly maxConnections?: number;
  /** False: no second server within a request. Default: true. */
  readonly failover?: boolean;
  /**
   * Ids of servers, in the order in which a request that failed tries them, before the strategy is asked again. Ids that
   * no server has now are passed over. Default: the strategy picks each time.
   */
  readonly fallbackOrder?: readonly string[];
  /** Use the best priority only, instead of all servers at once. Default: false. */
  readonly tiers?: boolean;
  /** Age from which a list of tools, prompts or resources is asked for anew, when it is used. Default: 60,000. */
  readonly listMaxAge?: number;

  /** Keeps answers to requests that change nothing, and lists. Default: none is kept. */
  readonly cache?: CacheOptions;
  /** Has requests that change nothing leave together. Default: each leaves at once. */
  readonly batch?: BatchOptions;

  /** The pool's work queue. */
  readonly queue?: WorkQueueOptions;

  /** Strategies, policies and other plugins that options name. */
  readonly plugins?: readonly AnyPlugin[];
  /** Policies that every request passes, in order. */
  readonly policies?: readonly (AnyPlugin | Untyped | string)[];
  /** Folder that relative paths and names of packages count from. Default: the working directory. */
  readonly baseDirectory?: string;
  /** Credentials over http: to other machines. Default: false. */
  readonly allowCleartext?: boolean;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** Default: nothing is logged. */
  readonly log?: Log;
  /** What secrets of the form `{ env }` are looked up in. Default: `process.env`. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Aborting it gives up on the start. */
  readonly signal?: AbortSignal;
}
