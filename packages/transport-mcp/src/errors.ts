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
  constructor() {
    super("SESSION_LOST", "it does not know the session any more (HTTP 404)");
  }
}

/** `UNUSABLE_ANSWER`: what the server sent is no answer in MCP. */
export class UnusableAnswerError extends DavpoolError {
  constructor(problem: string, cause?: unknown) {
    super("UNUSABLE_ANSWER", problem, { cause });
  }
}
