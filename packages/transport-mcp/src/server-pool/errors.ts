import { DavpoolError, suggestion } from "@davpool/core";
import type { McpError, McpRefusal } from "../wire.ts";

/** `MCP_ERROR`: the server answered with a JSON-RPC error. It has spoken: nobody else was asked. */
export class McpAnswerError extends DavpoolError {
  /** The code of the JSON-RPC error. */
  readonly rpcCode: number;
  readonly data: unknown;
  readonly serverId: string;

  constructor(serverId: string, { code, message, data }: McpError) {
    super("MCP_ERROR", `Server "${serverId}" answered with an error: ${message} (${code})`, {
      details: { serverId, rpcCode: code, ...(data !== undefined && { data }) },
    });
    this.serverId = serverId;
    this.rpcCode = code;
    this.data = data;
  }
}

/** `SERVER_REFUSED`: the answer was an HTTP status instead of a message, such as 401 or 503. */
export class ServerRefusedError extends DavpoolError {
  readonly status: number;
  readonly serverId: string;

  constructor(serverId: string, { status, message }: McpRefusal) {
    super("SERVER_REFUSED", `Server "${serverId}" did not take the request: ${message}`, {
      details: { serverId, status },
    });
    this.serverId = serverId;
    this.status = status;
  }
}

/** `UNKNOWN_TOOL`: every server said what it has, and none has this. Nothing was sent. */
export class UnknownToolError extends DavpoolError {
  constructor(name: string, tools: readonly string[]) {
    const meant = suggestion(name, tools);
    const known = tools.length === 0 ? "They have none." : `They have ${tools.join(", ")}.`;
    super(
      "UNKNOWN_TOOL",
      `No server of the pool has a tool ${JSON.stringify(name)}. ${known}${meant === undefined ? "" : ` ${meant}`}`,
      { details: { name, tools } },
    );
  }
}

/** `QUEUE_CLOSED`: the queue takes no more tasks, or was closed before this one had its turn. It was not begun. */
export class QueueClosedError extends DavpoolError {
  constructor(taskId: string) {
    super(
      "QUEUE_CLOSED",
      `The work queue is closed, and ${taskId} was not carried out. Close it with a longer drain to have waiting tasks done first.`,
      { details: { taskId } },
    );
  }
}

/** `DUPLICATE_TASK`: a task of this id is waiting or running. */
export class DuplicateTaskError extends DavpoolError {
  constructor(taskId: string) {
    super("DUPLICATE_TASK", `There is a task "${taskId}" already that has not ended. Choose another taskId.`, {
      details: { taskId },
    });
  }
}
