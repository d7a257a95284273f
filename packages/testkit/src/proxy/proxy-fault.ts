import type { ListenerFault } from "../faults/fault.ts";
import type { FaultTurns } from "../faults/turns.ts";

/** `up` is from the client to the target, `down` from the target to the client. */
export type Direction = "up" | "down";

/**
 * Which bytes a fault acts on. A connection is met when the first byte passes in one of the directions while the
 * fault is on; `times` and `flapping` count connections, not requests.
 */
export interface DirectedFault extends FaultTurns {
  /** Default `down`. */
  readonly direction?: Direction | "both";
}

/**
 * Connections are accepted and never answered; the target hears nothing of them. Those that are open fall silent in
 * both directions. Switching the fault off resets the connections it holds.
 */
export interface ProxyBlackholeFault extends FaultTurns {
  readonly kind: "blackhole";
  /** What becomes of bytes that the client sends: `nothing` leaves them in the kernel until that takes no more. Default `everything`. */
  readonly reads?: "everything" | "nothing";
}

/**
 * One direction falls silent: its bytes are lost, and that its sender has closed or reset the connection is not told.
 * Switching the fault off resets the connections that have lost something.
 */
export interface HalfOpenFault extends DirectedFault {
  readonly kind: "half-open";
  /** Bytes that still pass in that direction, from when the connection is met. Default 0. */
  readonly afterBytes?: number;
}

/** The connection is reset (TCP RST) towards both sides. */
export interface ProxyResetFault extends DirectedFault {
  readonly kind: "reset";
  /**
   * Bytes that still pass in that direction, from when the connection is met; the next one that comes resets it
   * instead of passing. Default 0.
   */
  readonly afterBytes?: number;
}

/** Each connection's bytes trickle. */
export interface BandwidthFault extends DirectedFault {
  readonly kind: "bandwidth";
  /** On the proxy's clock. Forwarded ten times a second, but at least a byte at a time. */
  readonly bytesPerSecond: number;
}

/** Bytes are forwarded in small pieces. */
export interface SlicerFault extends DirectedFault {
  readonly kind: "slicer";
  /** The size of a piece, at most. */
  readonly bytes: number;
  /** Milliseconds between two pieces, on the proxy's clock. Default 0: they are merely written one by one. */
  readonly ms?: number;
}

/** Bytes, and the end of the connection, arrive later. What is on its way is bounded, so high latency limits the throughput. */
export interface LatencyFault extends DirectedFault {
  readonly kind: "latency";
  /** On the proxy's clock. `Infinity` holds everything until the fault is switched off; then it arrives. */
  readonly ms: number;
}

/** Faults that meet single connections. */
export type ConnectionFault =
  | ProxyBlackholeFault
  | HalfOpenFault
  | ProxyResetFault
  | BandwidthFault
  | SlicerFault
  | LatencyFault;

/** Anything that can be switched on with {@link FaultProxy.inject}. */
export type ProxyFault = ConnectionFault | ListenerFault;
