import type { FaultBehaviour } from "./behaviour.ts";
import { blackhole } from "./blackhole.ts";
import { delay } from "./delay.ts";
import type { RequestFault } from "./fault.ts";
import { reset } from "./reset.ts";
import { slowBody } from "./slow-body.ts";
import { slowHeaders } from "./slow-headers.ts";
import { staleKeepAlive } from "./stale-keep-alive.ts";
import { status } from "./status.ts";
import { truncate } from "./truncate.ts";

/** A new fault of single requests is a type in `fault.ts`, its fields in `fault-fields.ts`, a file of its own, and a case here. */
export function behaviourOf(fault: RequestFault): FaultBehaviour {
  switch (fault.kind) {
    case "reset":
      return reset(fault);
    case "delay":
      return delay(fault);
    case "blackhole":
      return blackhole(fault);
    case "status":
      return status(fault);
    case "truncate":
      return truncate(fault);
    case "slow-body":
      return slowBody(fault);
    case "slow-headers":
      return slowHeaders(fault);
    case "stale-keep-alive":
      return staleKeepAlive(fault);
    default:
      return fault satisfies never;
  }
}
