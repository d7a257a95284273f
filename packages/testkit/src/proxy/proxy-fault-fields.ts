import type { FaultFields } from "../faults/check-fault.ts";
import { BYTES_PER_SECOND, MILLISECONDS, TURNS, oneOf, optional, whole } from "../faults/check-fault.ts";
import type { ProxyFault } from "./proxy-fault.ts";

const DIRECTED = { direction: optional(oneOf("up", "down", "both")), ...TURNS };

/** What the faults of a proxy take. */
export const PROXY_FAULT_FIELDS: FaultFields<ProxyFault> = {
  refuse: {},
  "connect-timeout": {},
  blackhole: { reads: optional(oneOf("everything", "nothing")), ...TURNS },
  "half-open": { afterBytes: optional(whole(0)), ...DIRECTED },
  reset: { afterBytes: optional(whole(0)), ...DIRECTED },
  bandwidth: { bytesPerSecond: BYTES_PER_SECOND, ...DIRECTED },
  slicer: { bytes: whole(1), ms: optional(MILLISECONDS), ...DIRECTED },
  latency: { ms: MILLISECONDS, ...DIRECTED },
};
