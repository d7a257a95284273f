import type { FaultFields } from "./check-fault.ts";
import {
  BODY,
  BYTES_PER_SECOND,
  FILTER,
  HEADERS,
  MILLISECONDS,
  STATUS,
  YES_OR_NO,
  oneOf,
  optional,
  whole,
} from "./check-fault.ts";
import type { Fault } from "./fault.ts";

const APPLIED = { applied: optional(YES_OR_NO) };
const TRICKLE = { bytesPerSecond: BYTES_PER_SECOND, chunkBytes: optional(whole(1)) };

/** What the faults of a server take. */
export const FAULT_FIELDS: FaultFields<Fault> = {
  refuse: {},
  "connect-timeout": {},
  reset: {
    when: oneOf("before-body", "mid-request", "after-request", "mid-body"),
    afterBytes: optional(whole(0)),
    ...APPLIED,
    ...FILTER,
  },
  delay: { ms: MILLISECONDS, ...APPLIED, ...FILTER },
  blackhole: { ...APPLIED, ...FILTER },
  status: { status: STATUS, headers: optional(HEADERS), body: optional(BODY), ...APPLIED, ...FILTER },
  truncate: { afterBytes: whole(0), chunked: optional(YES_OR_NO), untilClose: optional(YES_OR_NO), ...FILTER },
  "slow-headers": { ...TRICKLE, ...FILTER },
  "slow-body": { ...TRICKLE, ...FILTER },
  "stale-keep-alive": { idleMs: optional(MILLISECONDS), ...FILTER },
};
