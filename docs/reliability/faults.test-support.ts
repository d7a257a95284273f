import { retryAfter, type Fault, type ProxyFault } from "@davpool/testkit";

/**
 * What a fault does to a request, in the words of the failure table:
 *
 * - `unsent`: nothing was sent;
 * - `lost`: the connection broke, or time ran out, after sending, and the server did nothing;
 * - `done`: the same, but the server has done the work;
 * - `body`: the answer's body broke off midway;
 * - `unavailable`: an answer that stands for a server in trouble: 500, 502, 503, 504, 429;
 * - `answer`: any other answer.
 */
export type Effect = "unsent" | "lost" | "done" | "body" | "unavailable" | "answer";

export interface FaultRow {
  /** In the page's first column. */
  readonly name: string;
  readonly effect: Effect;
  /** How it is brought about: by the server, on the way to it, or by an address at which there is no server. */
  readonly server?: Fault;
  readonly proxy?: ProxyFault;
  readonly address?: (url: URL) => void;
  /** Of the answer, for `unavailable` and for `answer`; without it the answer is the usual one. */
  readonly status?: number;
  /** How many requests it meets, the first ones. Default: all. */
  readonly fails?: number;
  /** Every server has it. Default: the first one only. */
  readonly everywhere?: boolean;
  /** Nothing happens until the attempt's time-out. */
  readonly stalls?: boolean;
  /** Seconds for which the caller will wait at the server's request. */
  readonly asked?: number;
  /** The connection has brought a request before. */
  readonly reused?: boolean;
  /** Seconds after which the servers without the fault answer. */
  readonly othersTake?: number;
}

/** Bytes that trickle, one every quarter of a second: far below the least rate. */
const TRICKLE = { bytesPerSecond: 4, chunkBytes: 1 } as const;
const HOUR = 3_600_000;

const status = (code: number, effect: Effect, name = String(code)): FaultRow => ({
  name,
  effect,
  status: code,
  server: { kind: "status", status: code },
});

/** 503 or 429 with `Retry-After`. */
const comeBack = (code: 429 | 503, what: string, when: number | Date | string, asked: number): FaultRow => ({
  name: `${code}, \`Retry-After\`: ${what}`,
  effect: "unavailable",
  status: code,
  server: retryAfter(when, { status: code }),
  asked,
});

/** The longest time that a server can make a call wait, whatever it asks for. */
const LONGEST = 5;
const comeBackLater = (code: 429 | 503): FaultRow[] => [
  comeBack(code, "2 seconds", 2, 2),
  comeBack(code, "a date in an hour", new Date(Date.now() + HOUR), LONGEST),
  comeBack(code, "a date long past", "Thu, 01 Jan 1970 00:00:00 GMT", 0),
  comeBack(code, "a thousand years", "31536000000", LONGEST),
  comeBack(code, "four hundred digits", "9".repeat(400), LONGEST),
  comeBack(code, '"soon"', "soon", 0),
  comeBack(code, '"-1"', "-1", 0),
];

export const FAULTS: readonly FaultRow[] = [
  { name: "connection refused", effect: "unsent", server: { kind: "refuse" } },
  {
    name: "host name not found",
    effect: "unsent",
    // Longer than a label of a name may be, so that nobody has to be asked.
    address: (url) => void (url.host = `${"x".repeat(64)}.invalid`),
  },
  { name: "TLS handshake fails", effect: "unsent", address: (url) => void (url.protocol = "https:") },
  { name: "no connection in time", effect: "unsent", stalls: true, server: { kind: "connect-timeout" } },

  { name: "reset after the request's head", effect: "lost", server: { kind: "reset", when: "before-body" } },
  {
    name: "reset within the request's body",
    effect: "lost",
    server: { kind: "reset", when: "mid-request", afterBytes: 1 },
  },
  { name: "reset after the request", effect: "lost", server: { kind: "reset", when: "after-request" } },
  {
    name: "reset after the work",
    effect: "done",
    server: { kind: "reset", when: "after-request", applied: true },
  },
  { name: "reset within the answer's head", effect: "done", proxy: { kind: "reset", afterBytes: 20 } },
  { name: "stale keep-alive", effect: "lost", fails: 1, reused: true, server: { kind: "stale-keep-alive" } },

  { name: "accepts, and falls silent", effect: "lost", stalls: true, proxy: { kind: "blackhole" } },
  { name: "silent after the request", effect: "lost", stalls: true, server: { kind: "blackhole" } },
  {
    name: "silent after the work",
    effect: "done",
    stalls: true,
    server: { kind: "blackhole", applied: true },
  },
  {
    name: "half-open: requests are lost",
    effect: "lost",
    stalls: true,
    proxy: { kind: "half-open", direction: "up" },
  },
  { name: "half-open: answers are lost", effect: "done", stalls: true, proxy: { kind: "half-open" } },
  { name: "head that trickles", effect: "done", stalls: true, server: { kind: "slow-headers", ...TRICKLE } },

  { name: "body that trickles", effect: "body", stalls: true, server: { kind: "slow-body", ...TRICKLE } },
  { name: "reset within the body", effect: "body", server: { kind: "reset", when: "mid-body", afterBytes: 5 } },
  { name: "body shorter than announced", effect: "body", server: { kind: "truncate", afterBytes: 5 } },
  {
    name: "chunked body without its end",
    effect: "body",
    server: { kind: "truncate", afterBytes: 5, chunked: true },
  },
  {
    name: "body of no announced length that breaks off (cannot be noticed)",
    effect: "answer",
    server: { kind: "truncate", afterBytes: 5, untilClose: true },
  },

  status(500, "unavailable"),
  status(502, "unavailable"),
  status(503, "unavailable"),
  status(504, "unavailable"),
  status(429, "unavailable"),
  {
    name: "504 after the work",
    effect: "unavailable",
    status: 504,
    server: { kind: "status", status: 504, applied: true },
  },
  { ...status(502, "unavailable", "502, once"), fails: 1, server: { kind: "status", status: 502, times: 1 } },
  { ...status(500, "unavailable", "500 at once, while the others take 50 ms"), othersTake: 0.05 },
  ...comeBackLater(503),
  ...comeBackLater(429),

  ...[401, 403, 404, 408, 409, 412, 423, 507].map((code) => status(code, "answer")),

  {
    name: "flapping: one reset, one answer",
    effect: "lost",
    fails: 1,
    server: { kind: "reset", when: "after-request", flapping: { fail: 1, answer: 1 } },
  },
  {
    name: "flapping: two resets, one answer",
    effect: "lost",
    fails: 2,
    server: { kind: "reset", when: "after-request", flapping: { fail: 2, answer: 1 } },
  },
  {
    name: "flapping: two times 503, one answer",
    effect: "unavailable",
    status: 503,
    fails: 2,
    server: { kind: "status", status: 503, flapping: { fail: 2, answer: 1 } },
  },

  { name: "all down: connection refused", effect: "unsent", everywhere: true, server: { kind: "refuse" } },
  {
    name: "all down: reset after the request",
    effect: "lost",
    everywhere: true,
    server: { kind: "reset", when: "after-request" },
  },
  {
    name: "all down: silent after the request",
    effect: "lost",
    everywhere: true,
    stalls: true,
    server: { kind: "blackhole" },
  },
  { ...status(503, "unavailable", "all down: 503"), everywhere: true },
];
