import { DavpoolError } from "@davpool/core";

/** `INVALID_REQUEST`: a request that no server was asked. */
export class InvalidRequestError extends DavpoolError {
  constructor(message: string) {
    super("INVALID_REQUEST", message);
  }
}

/** `NOT_CONNECTED`: there is no session with the server, so that nothing was sent to it. */
export class NotConnectedError extends DavpoolError {
  /** System code or HTTP status, where there is one. */
  readonly reason: string | number | undefined;

  constructor(problem: string, reason?: string | number, cause?: unknown) {
    super("NOT_CONNECTED", problem, { cause });
    this.reason = reason;
  }
}

/** `TOO_MANY_PROCESSES`: a session of its own would need one process more than its server may have. */
export class TooManyProcessesError extends DavpoolError {
  constructor(serverId: string, most: number) {
    super(
      "TOO_MANY_PROCESSES",
      `Server ${JSON.stringify(serverId)} has ${most} processes already, as many as it may; nothing was sent. Raise maxProcesses of its pool's transport, or set sessions: "shared" if the server keeps nothing between calls.`,
      { details: { serverId, most } },
    );
  }
}

/** `CONNECTION_BROKEN`: no answer will come any more to what was sent. */
export class ConnectionBrokenError extends DavpoolError {
  constructor(problem: string, cause?: unknown) {
    super("CONNECTION_BROKEN", problem, { cause });
  }
}

/** `CONNECTION_CLOSED`: this side ended it: the server left the pool, or the pool was closed. */
export class ConnectionClosedError extends DavpoolError {
  constructor() {
    super("CONNECTION_CLOSED", "the connection was closed");
  }
}

/** `SESSION_LOST`: the server answered that it does not know the session, so it did nothing. */
export class SessionLostError extends DavpoolError {
  /** @param status HTTP, where that is how it answered. */
  constructor(status?: number) {
    const how = status === undefined ? "" : ` (HTTP ${status})`;
    super("SESSION_LOST", `the server does not know the session any more${how}`);
  }
}

/**
 * `ANSWER_TOO_LARGE`: the server answered, with more than this side takes. The call is not repeated: every server would
 * give the same answer.
 */
export class AnswerTooLargeError extends DavpoolError {
  private constructor(serverId: string, problem: string) {
    super(
      "ANSWER_TOO_LARGE",
      `Server ${JSON.stringify(serverId)} answered with ${problem}. The answer was discarded; what the call was to do may be done.`,
      { details: { server: serverId } },
    );
  }

  /** @param longest bytes of a message. */
  static tooLong(serverId: string, longest: number): AnswerTooLargeError {
    return new AnswerTooLargeError(
      serverId,
      `more than ${longest} bytes; raise longestMessage of its pool's transport if that is meant`,
    );
  }

  /** @param deepest levels of objects and lists. */
  static tooDeep(serverId: string, deepest: number): AnswerTooLargeError {
    return new AnswerTooLargeError(serverId, `objects and lists that are more than ${deepest} levels deep`);
  }
}

/** `UNUSABLE_ANSWER`: what the server sent is no answer in MCP. */
export class UnusableAnswerError extends DavpoolError {
  constructor(problem: string, cause?: unknown) {
    super("UNUSABLE_ANSWER", problem, { cause });
  }
}
