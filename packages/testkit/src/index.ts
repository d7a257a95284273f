export { createWebDavServer } from "./server.ts";
export type { WebDavServer, WebDavServerOptions } from "./server.ts";
export { createWebDavCluster } from "./cluster.ts";
export type { WebDavCluster, WebDavClusterOptions } from "./cluster.ts";
export { FileTree, TreeError } from "./tree.ts";
export type { CollectionResource, DeadProperty, FileResource, Resource, TreeErrorCode, WriteOptions } from "./tree.ts";
export { LockTable } from "./locks.ts";
export type { Lock, LockDepth, LockScope } from "./locks.ts";
export type { ServerAuth } from "./auth.ts";
export type { Clock } from "./clock.ts";
export { ManualClock } from "./manual-clock.ts";
export type { LoggedRequest, RequestFilter } from "./request-log.ts";
export type {
  ActiveFault,
  BlackholeFault,
  ConnectTimeoutFault,
  DelayFault,
  Fault,
  FaultFilter,
  FaultKind,
  ListenerFault,
  RefuseFault,
  RequestFault,
  ResetFault,
  SlowBodyFault,
  SlowHeadersFault,
  StaleKeepAliveFault,
  StatusFault,
  TruncateFault,
} from "./faults/fault.ts";
export type { FaultTurns } from "./faults/turns.ts";
export { ABSURD_RETRY_AFTER, retryAfter } from "./faults/retry-after.ts";
export { createFaultProxy } from "./proxy/fault-proxy.ts";
export type { FaultProxy, FaultProxyOptions } from "./proxy/fault-proxy.ts";
export type {
  BandwidthFault,
  Direction,
  HalfOpenFault,
  LatencyFault,
  ProxyBlackholeFault,
  ProxyFault,
  ProxyResetFault,
  SlicerFault,
} from "./proxy/proxy-fault.ts";
export { MISSING_COMMAND, createMcpServer } from "./mcp/create-mcp-server.ts";
export type { McpHttpServerOptions, McpServerOptions, McpStdioServerOptions } from "./mcp/create-mcp-server.ts";
export type { McpFault, McpFaultKind } from "./mcp/mcp-fault.ts";
export type { McpHttpServer } from "./mcp/http-server.ts";
export type { McpLog, McpLogEntry } from "./mcp/mcp-log.ts";
export type { ActiveMcpFault, McpServer } from "./mcp/mcp-server.ts";
export type { McpEra, McpTool } from "./mcp/mcp-settings.ts";
export type { McpStdioServer } from "./mcp/stdio-server.ts";
