import type { ConnectionFault, Direction } from "./proxy-fault.ts";

/** What a fault does to the bytes of a connection it meets. Where several do the same, the strictest counts. */
export interface ConnectionBehaviour {
  readonly direction: Direction | "both";
  /** Acts on the end of a connection too, not only on its bytes. */
  readonly ends?: boolean;
  /** Milliseconds for which bytes are held. */
  readonly latencyMs?: number;
  /** The most bytes that are forwarded at once. */
  readonly pieceBytes?: number;
  /** Milliseconds from a piece of so many bytes to the next. */
  readonly pauseMs?: (bytes: number) => number;
  /** What happens to the byte that comes after so many. */
  readonly cut?: Cut;
  /** New connections are not forwarded at all. */
  readonly swallows?: boolean;
}

export interface Cut {
  readonly afterBytes: number;
  /** `stall` leaves what comes unread, `silence` reads and drops it. */
  readonly by: "reset" | "silence" | "stall";
}

/** A new fault of proxied connections is a type in `proxy-fault.ts`, its fields in `proxy-fault-fields.ts`, and a case here. */
export function behaviourOf(fault: ConnectionFault): ConnectionBehaviour {
  const direction = "direction" in fault ? (fault.direction ?? "down") : "down";
  switch (fault.kind) {
    case "blackhole":
      return {
        direction: "both",
        ends: true,
        swallows: true,
        cut: { afterBytes: 0, by: fault.reads === "nothing" ? "stall" : "silence" },
      };
    case "half-open":
      return { direction, ends: true, cut: { afterBytes: fault.afterBytes ?? 0, by: "silence" } };
    case "reset":
      return { direction, cut: { afterBytes: fault.afterBytes ?? 0, by: "reset" } };
    case "bandwidth":
      return {
        direction,
        pieceBytes: Math.max(1, Math.floor(fault.bytesPerSecond / 10)),
        pauseMs: (bytes) => (bytes / fault.bytesPerSecond) * 1000,
      };
    case "slicer":
      return { direction, pieceBytes: fault.bytes, pauseMs: () => fault.ms ?? 0 };
    case "latency":
      return { direction, ends: true, latencyMs: fault.ms };
    default:
      return fault satisfies never;
  }
}
