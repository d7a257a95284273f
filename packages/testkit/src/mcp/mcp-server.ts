import type { McpFault } from "./mcp-fault.ts";
import type { McpLog, McpLogEntry } from "./mcp-log.ts";
import type { McpTool } from "./mcp-settings.ts";

/** What fake MCP servers have in common, whichever way they are reached. */
export interface McpServer extends AsyncDisposable {
  readonly name: string;
  readonly log: McpLog;
  /** The calls that it has read, answered or not. */
  readonly calls: readonly McpLogEntry[];
  /**
   * Switches a fault on, for what runs and for what will be started.
   * @throws TypeError or RangeError for one that makes no sense.
   */
  inject(fault: McpFault): ActiveMcpFault;
  clearFaults(): void;
  /** Has other tools from now on, and tells those who are connected. */
  changeTools(tools: readonly McpTool[]): void;
}

/** A fault that is switched on. Disposing of it switches it off. */
export interface ActiveMcpFault extends Disposable {
  off(): void;
}
