import type { Exchange } from "../exchange.ts";
import type { RequestFault } from "./fault.ts";

/** When a fault acts. Several that meet one request act in this order, whichever was switched on first. */
export const STAGES = ["arrival", "processing", "answer", "sending"] as const;

/** What a fault does to the requests it meets. */
export interface FaultBehaviour {
  readonly stage: (typeof STAGES)[number];
  /** Leaves out requests that the fault does not concern for reasons of its own. */
  concerns?(exchange: Exchange): boolean;
  /**
   * Acts on the exchange and calls `next` to let it go on, or does not. `off` is aborted when the fault is switched
   * off.
   */
  run(exchange: Exchange, next: () => Promise<void>, off: AbortSignal): Promise<void>;
}

/** A kind of fault: makes the behaviour out of the description. */
export type FaultDefinition<F extends RequestFault> = (fault: F) => FaultBehaviour;
