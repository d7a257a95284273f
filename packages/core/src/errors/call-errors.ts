import type { AttemptRecord } from "../contracts/failover-policy.ts";
import type { HealthSnapshot } from "../contracts/profile-store.ts";
import { DavpoolError } from "./davpool-error.ts";

/** One server's state in the message of {@link NoServerAvailableError}. */
export interface ServerReport {
  readonly serverId: string;
  readonly status: HealthSnapshot["status"] | "disabled";
  /** The failure of this call's attempt, or of the last one known. */
  readonly problem?: string;
}

/** `NO_SERVER_AVAILABLE`: nobody could be reached. Lists every server and what is wrong with it. */
export class NoServerAvailableError extends DavpoolError {
  readonly servers: readonly ServerReport[];
  readonly attempts: readonly AttemptRecord[];

  constructor(pool: string, servers: readonly ServerReport[], attempts: readonly AttemptRecord[]) {
    const states = servers.map(
      (server) => `${server.serverId}: ${server.status}${server.problem ? ` (${server.problem})` : ""}`,
    );
    super(
      "NO_SERVER_AVAILABLE",
      servers.length === 0
        ? `Pool "${pool}" has no servers. Declare one in the configuration or add one.`
        : `No server of pool "${pool}" gave an answer. ${states.join("; ")}. Check that the servers run and are reachable from here, then try again.`,
      { details: { servers, attempts: attempts.map(attemptDetails) }, cause: attempts.at(-1)?.failure?.cause },
    );
    this.servers = servers;
    this.attempts = attempts;
  }
}

/** `OUTCOME_UNKNOWN`: a request that must not be repeated may have been carried out. */
export class OutcomeUnknownError extends DavpoolError {
  readonly attempts: readonly AttemptRecord[];

  constructor(operation: string, attempts: readonly AttemptRecord[]) {
    const sent = attempts.filter((attempt) => attempt.outcome !== "failed");
    const times = sent.length === 1 ? "once" : `${sent.length} times`;
    const late = sent.some((attempt) => attempt.failure?.kind === "timeout");
    super(
      "OUTCOME_UNKNOWN",
      `${operation} may or may not have been carried out: it was sent ${times} (${sent.map(ending).join("; ")}). Look at the current state before sending it again.${late ? LATE : ""}`,
      { details: { attempts: attempts.map(attemptDetails) }, cause: attempts.at(-1)?.failure?.cause },
    );
    this.attempts = attempts;
  }
}

/** `ANSWER_INCOMPLETE`: a server answered a request that changes something, and its answer broke off. */
export class AnswerIncompleteError extends DavpoolError {
  readonly attempts: readonly AttemptRecord[];

  constructor(operation: string, attempts: readonly AttemptRecord[]) {
    const last = attempts.at(-1);
    super(
      "ANSWER_INCOMPLETE",
      `${operation} was answered by ${last?.serverId ?? "the server"}, but its answer broke off (${last?.failure?.message ?? "the connection ended"}). It was not sent again. Look at the current state before sending it again.`,
      { details: { attempts: attempts.map(attemptDetails) }, cause: last?.failure?.cause },
    );
    this.attempts = attempts;
  }
}

/** `DEADLINE_EXCEEDED`: no server answered in time, within its own `timeout` or before the call's deadline. */
export class DeadlineExceededError extends DavpoolError {
  readonly attempts: readonly AttemptRecord[];

  /**
   * @param deadline milliseconds that the call had; undefined where each server used up its own `timeout` before.
   * @param policy the name of the one that had not answered, so that no server was asked.
   */
  constructor(operation: string, deadline: number | undefined, attempts: readonly AttemptRecord[], policy?: string) {
    const tried = attempts.length > 0 ? ` (${attempts.map(ending).join("; ")})` : "";
    const ms = deadline === undefined ? undefined : Math.round(deadline);
    super(
      "DEADLINE_EXCEEDED",
      ms === undefined
        ? `${operation} was not answered in time${tried}.${LATE}`
        : policy === undefined
          ? `${operation} did not finish within ${ms} ms${tried}. Give it a longer deadline, or look at the servers' health.`
          : `The policy "${policy}" did not answer within ${ms} ms, and nothing of ${operation} was sent. Look at what its before waits for.`,
      {
        details: {
          ...(ms !== undefined && { deadline: ms }),
          ...(policy !== undefined && { policy }),
          attempts: attempts.map(attemptDetails),
        },
      },
    );
    this.attempts = attempts;
  }
}

/** `POOL_EXHAUSTED`: every server that may take the request is at its `maxConnections`, and the queue did not help. */
export class PoolExhaustedError extends DavpoolError {
  constructor(pool: string, why: string) {
    super(
      "POOL_EXHAUSTED",
      `Pool "${pool}" is at its limits: ${why}. Try again later, raise maxConnections, or lengthen limits.queue.`,
    );
  }
}

/** `AFFINITY_UNKNOWN`: a lock token or entity tag whose server is not known. */
export class AffinityUnknownError extends DavpoolError {
  constructor(operation: string, serverIds: readonly string[]) {
    super(
      "AFFINITY_UNKNOWN",
      `${operation} carries a lock token or entity tag, and it is not known which server gave it. Name the server with serverId: ${serverIds.join(", ")}.`,
      { details: { serverIds } },
    );
  }
}

/** `AFFINITY_CONFLICT`: a request whose locks or entity tags belong to different servers. */
export class AffinityConflictError extends DavpoolError {
  constructor(operation: string, owners: readonly string[]) {
    super(
      "AFFINITY_CONFLICT",
      `${operation} carries lock tokens or entity tags of several servers: ${owners.join(" and ")}. Each means something on its own server only: send one request to each.`,
      { details: { owners } },
    );
  }
}

/** `AFFINITY_UNAVAILABLE`: the only server that knows the request's lock or entity tag cannot be reached. */
export class AffinityUnavailableError extends DavpoolError {
  readonly attempts: readonly AttemptRecord[];

  constructor(operation: string, owner: string, attempts: readonly AttemptRecord[]) {
    super(
      "AFFINITY_UNAVAILABLE",
      `${operation} carries a lock token or entity tag of server ${owner}, which gave no answer (${attempts.at(-1)?.failure?.message ?? "it is down"}). No other server knows it: wait until ${owner} is back, or take a new lock.`,
      { details: { owner, attempts: attempts.map(attemptDetails) }, cause: attempts.at(-1)?.failure?.cause },
    );
    this.attempts = attempts;
  }
}

/** `POLICY_DENIED`: a policy refused the call; nothing was sent. */
export class PolicyDeniedError extends DavpoolError {
  constructor(operation: string, reason: string) {
    super("POLICY_DENIED", `${operation} is not allowed: ${reason}`);
  }
}

/** `POLICY_FAILED`: a policy did not say what becomes of the call; nothing was sent. */
export class PolicyFailedError extends DavpoolError {
  /** @param what it did, as the end of a sentence that begins with the policy. */
  constructor(operation: string, policy: string, what: string, options: { readonly cause?: unknown } = {}) {
    super("POLICY_FAILED", `${operation} was not sent: the policy "${policy}" ${what}`, {
      details: { policy },
      ...options,
    });
  }
}

/**
 * `NO_CREDENTIALS`: the credentials of the call's principal cannot be had, and it may not use those of others. Nothing
 * was sent.
 */
export class NoCredentialsError extends DavpoolError {
  /**
   * @param principal undefined for a call on nobody's behalf.
   * @param remedy why, and what to do, in whole sentences.
   */
  constructor(
    pool: string,
    serverId: string,
    principal: string | undefined,
    remedy: string,
    options: { readonly cause?: unknown } = {},
  ) {
    const who = principal === undefined ? "A caller without a principal" : `Principal ${shown(principal)}`;
    super(
      "NO_CREDENTIALS",
      `${who} has no credentials for server "${serverId}" of pool "${pool}", and nothing was sent. ${remedy}`,
      { details: { pool, serverId, ...(principal !== undefined && { principal }) }, ...options },
    );
  }
}

/** Quoted, so that no name makes lines of its own, and cut: it may come from a token. */
function shown(principal: string): string {
  return JSON.stringify(principal.length > 200 ? `${principal.slice(0, 199)}…` : principal);
}

/** `CANCELLED`: the caller's signal aborted. */
export class CallCancelledError extends DavpoolError {
  constructor(operation: string, cause: unknown) {
    super("CANCELLED", `${operation} was cancelled by its caller.`, { cause });
  }
}

/** `POOL_CLOSED`: the pool takes no more calls. */
export class PoolClosedError extends DavpoolError {
  constructor(pool: string) {
    super("POOL_CLOSED", `Pool "${pool}" is closed.`);
  }
}

/** `POOL_CLOSED`: pools that are closed, or about to be, take no other configuration. */
export class PoolsClosedError extends DavpoolError {
  constructor() {
    super("POOL_CLOSED", "The pools are closed; no configuration can be applied to them any more.");
  }
}

/** `BODY_NOT_REPLAYABLE`: a body that can be read once cannot go to several servers. */
export class BroadcastBodyError extends DavpoolError {
  constructor(operation: string) {
    super(
      "BODY_NOT_REPLAYABLE",
      `${operation} to several servers needs a body that can be read more than once. Give it as bytes or text, or as a function that makes a new stream.`,
    );
  }
}

/** `QUORUM_UNREACHABLE`: more servers would have to succeed than are asked; nothing was sent. */
export class QuorumUnreachableError extends DavpoolError {
  /** @param group where the servers are those of a group. */
  constructor(operation: string, quorum: number, servers: number, group: string | undefined) {
    const whom = group === undefined ? "it goes to" : `group "${group}" has`;
    super(
      "QUORUM_UNREACHABLE",
      `${operation} was not sent: ${quorum} servers would have to succeed, and ${whom} ${servers === 1 ? "1 server" : `${servers} servers`}. Ask for a quorum of at most ${servers}, or for more servers.`,
      { details: { quorum, servers, ...(group !== undefined && { group }) } },
    );
  }
}

const LATE = " If its servers are slow rather than broken, raise their `timeout`.";

/** One attempt in a message: where, and how it ended. */
function ending({ serverId, outcome, failure }: AttemptRecord): string {
  return `${serverId}: ${failure?.message ?? outcome}`;
}

/** Attempts as plain data: no causes, which may hold sockets and stacks. */
export function attemptDetails(attempt: AttemptRecord): Readonly<Record<string, unknown>> {
  return {
    serverId: attempt.serverId,
    outcome: attempt.outcome,
    latency: Math.round(attempt.latency),
    ...(attempt.failure && { failure: attempt.failure.kind, message: attempt.failure.message }),
  };
}
