import { DavpoolError, describeError, suggestion } from "@davpool/core";
import type { McpError, McpRefusal } from "../wire.ts";
import type { ServerAnswer } from "./aggregate.ts";

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

/** `NO_ANSWER`: of the servers that were asked at the same time, none gave a result. */
export class NoAnswerError extends DavpoolError {
  readonly answers: readonly ServerAnswer<unknown>[];

  constructor(operation: string, answers: readonly ServerAnswer<unknown>[]) {
    const problems = problemsOf(answers);
    super(
      "NO_ANSWER",
      `None of ${answers.length} servers has answered ${operation} with a result. ${problems.join("; ")}. Look at the servers' health, then try again.`,
      { details: { problems }, cause: firstError(answers) },
    );
    this.answers = answers;
  }
}

/** `NO_MAJORITY`: no answer is that of more than half of the servers asked. */
export class NoMajorityError extends DavpoolError {
  readonly answers: readonly ServerAnswer<unknown>[];

  /** @param voices ids of servers, those together that say the same. */
  constructor(
    operation: string,
    asked: number,
    voices: readonly (readonly string[])[],
    answers: readonly ServerAnswer<unknown>[],
  ) {
    const problems = problemsOf(answers);
    const said = voices.map((ids) => ids.join(" and ")).join(" against ");
    super(
      "NO_MAJORITY",
      `More than half of ${asked} servers must agree on ${operation}, and do not: ${[...(said === "" ? [] : [said]), ...problems].join("; ")}. The answers stand in the error; find out which servers are out of step.`,
      { details: { voices, problems } },
    );
    this.answers = answers;
  }
}

function problemsOf(answers: readonly ServerAnswer<unknown>[]): readonly string[] {
  return answers.flatMap((answer) => (answer.ok ? [] : `${answer.serverId}: ${describeError(answer.error)}`));
}

function firstError(answers: readonly ServerAnswer<unknown>[]): Error | undefined {
  for (const answer of answers) if (!answer.ok) return answer.error;
  return undefined;
}
