import type { Effect, FaultRow } from "./faults.test-support.ts";

/*
 * What must come of a request, from the failure table alone: by the fault's effect, by what a repetition of the method
 * would do, and by where the request may go.
 */

export type Repeat = "safe" | "idempotent" | "neither";

interface MethodRules {
  readonly repeat: Repeat;
  /** The status when all is well. */
  readonly well: number;
  /** What another server says once the first one has done the work. */
  readonly repeated?: number;
  /** A status that speaks about this request alone. */
  readonly bad?: number;
  /** The answer has a body, which can break off. */
  readonly body?: boolean;
}

export const METHODS = {
  GET: { repeat: "safe", well: 200, body: true },
  PROPFIND: { repeat: "safe", well: 207, body: true },
  PUT: { repeat: "idempotent", well: 201, repeated: 204 },
  DELETE: { repeat: "idempotent", well: 204, repeated: 404 },
  MOVE: { repeat: "idempotent", well: 201, repeated: 404, bad: 502 },
  LOCK: { repeat: "neither", well: 200, body: true },
  POST: { repeat: "neither", well: 405, body: true },
} as const satisfies Record<string, MethodRules>;

export type Method = keyof typeof METHODS;

/** One server; three of one tree; three, of which the request names the first one. */
export const WHERE = ["single", "three", "pinned"] as const;
export type Where = (typeof WHERE)[number];

/** Milliseconds that an attempt may take, and a whole call. */
export const TIMEOUT = 1_000;
export const DEADLINE = 20_000;
/** Further attempts of a call. */
export const RETRIES = 2;
/** Milliseconds before the first further attempt on the same server; twice as long before the second. */
const PAUSE = 75;

export interface Expected {
  /** The answer's status, or the error's code. */
  readonly outcome: number | string;
  /** The servers of the attempts, in order: 1, 2, 3. */
  readonly servers: readonly number[];
  /** How many times each server was sent the request. */
  readonly sent: readonly number[];
  /** Milliseconds of time-outs and pauses. */
  readonly took: number;
}

/** May another attempt follow one that has met the fault? */
function mayRepeat({ effect, status }: FaultRow, { repeat, body, bad }: MethodRules): boolean {
  if (status !== undefined && status === bad) return false;
  const rules: Record<Effect, boolean> = {
    unsent: true,
    lost: repeat !== "neither",
    done: repeat !== "neither",
    unavailable: repeat !== "neither",
    body: repeat === "safe" && body === true,
    answer: false,
  };
  return rules[effect];
}

/** What the caller gets when none follows. */
function end({ effect, status, stalls = false }: FaultRow, { repeat, well }: MethodRules): number | string {
  const unanswered = stalls ? "DEADLINE_EXCEEDED" : "NO_SERVER_AVAILABLE";
  const afterSending = repeat === "safe" ? unanswered : "OUTCOME_UNKNOWN";
  const rules: Record<Effect, number | string> = {
    unsent: "NO_SERVER_AVAILABLE",
    lost: afterSending,
    done: afterSending,
    unavailable: status ?? well,
    body: repeat === "safe" ? unanswered : well,
    answer: status ?? well,
  };
  return rules[effect];
}

/** Where the first server's outcome is unknown, a repeat that finds the work done is a success, once that is verified. */
function afterWork({ well, repeated = well }: MethodRules): number {
  return repeated === 404 ? 204 : repeated;
}

export function expected(fault: FaultRow, method: Method, where: Where): Expected {
  const rules: MethodRules = METHODS[method];
  const { effect, fails = Infinity, everywhere = false, stalls = false, asked = 0, server } = fault;
  const worked = effect === "done" || (server?.kind === "status" && server.applied === true);
  const hurts = effect !== "body" || rules.body === true;
  const servers: number[] = [];
  const sent = where === "single" ? [0] : [0, 0, 0];
  let took = 0;
  let outcome: number | string = rules.well;
  for (let attempt = 0; attempt <= RETRIES; attempt++) {
    const index = where === "three" ? attempt : 0;
    const met = (index === 0 || everywhere) && attempt < fails;
    servers.push(index + 1);
    if (!met || effect !== "unsent") sent[index] = (sent[index] ?? 0) + 1;
    if (!met) {
      outcome = worked && attempt > 0 ? afterWork(rules) : rules.well;
      break;
    }
    if (stalls && hurts) took += TIMEOUT;
    outcome = end(fault, rules);
    if (!mayRepeat(fault, rules)) break;
    // Another server is asked at once, the same one after a pause.
    if (where !== "three" && attempt < RETRIES) took += Math.max(asked * 1_000, PAUSE * 2 ** attempt);
  }
  return { outcome, servers, sent, took };
}
