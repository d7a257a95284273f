import type { Socket } from "node:net";
import type { SwitchedFault } from "../faults/switched-fault.ts";
import type { Clock } from "../clock.ts";
import { resetSocket } from "../reset-socket.ts";
import { Lane } from "./lane.ts";
import type { ConnectionFault } from "./proxy-fault.ts";
import type { ProxySwitchboard } from "./switchboard.ts";

/** A client's connection and the one to the target that belongs to it. */
export class ProxiedConnection {
  readonly #client: Socket;
  #target: Socket | undefined;
  #lanes: { readonly up: Lane; readonly down: Lane } | undefined;
  /** The faults on whose account something is missing, so that the connection cannot go on without them. */
  readonly #spoiledBy = new Set<SwitchedFault<ConnectionFault>>();

  /** `client` has been accepted and is paused; `connect` is called at once unless a fault swallows the connection. */
  constructor(options: {
    readonly client: Socket;
    readonly connect: () => Socket;
    readonly clock: Clock;
    readonly faults: ProxySwitchboard;
    /** Both sockets have closed. */
    readonly closed: () => void;
  }) {
    const { client, connect, faults } = options;
    this.#client = client;
    // What goes wrong also shows as "close", on which the lanes act.
    client.on("error", () => {});
    const swallowing = faults.swallowing(this);
    if (swallowing === undefined) {
      this.#forward(connect(), options);
      return;
    }
    this.#spoiledBy.add(swallowing.switched);
    client.once("close", options.closed);
    if (swallowing.behaviour.cut?.by === "stall") return;
    client.once("end", () => client.destroy()).resume();
  }

  /** Faults have been switched on, or `off`. */
  faultsChanged(off?: SwitchedFault<ConnectionFault>): void {
    this.#lanes?.up.wake();
    this.#lanes?.down.wake();
    if (off !== undefined && this.#spoiledBy.has(off)) this.reset();
  }

  /** Resets the connection towards both sides. */
  reset(): void {
    resetSocket(this.#client);
    if (this.#target !== undefined) resetSocket(this.#target);
  }

  #forward(
    target: Socket,
    options: { readonly clock: Clock; readonly faults: ProxySwitchboard; closed(): void },
  ): void {
    const client = this.#client;
    this.#target = target;
    target.on("error", () => {});
    const common: Pick<ConstructorParameters<typeof Lane>[0], "clock" | "acting" | "reset" | "silenced"> = {
      clock: options.clock,
      acting: (lane, what) => options.faults.acting(this, lane, what),
      reset: () => this.reset(),
      silenced: ({ switched }) => {
        this.#spoiledBy.add(switched);
        this.#closeUnheard();
      },
    };
    const up = new Lane({ ...common, direction: "up", source: client, sink: target });
    const down = new Lane({ ...common, direction: "down", source: target, sink: client });
    this.#lanes = { up, down };
    let open = 2;
    for (const socket of [client, target]) {
      socket.once("end", () => this.#closeUnheard());
      socket.once("close", () => {
        this.#leaveAlone(socket);
        open -= 1;
        if (open === 0) options.closed();
      });
    }
    client.resume();
  }

  /** Whoever has said its last word and hears nothing either has no part in the connection any more. */
  #closeUnheard(): void {
    if (this.#lanes === undefined) return;
    const { up, down } = this.#lanes;
    if (down.silent && up.ended) this.#client.destroy();
    if (up.silent && down.ended) this.#target?.destroy();
  }

  /**
   * One side has gone. If it had ended its direction before, the other side does not know yet that there is nobody
   * left to hear it.
   */
  #leaveAlone(gone: Socket): void {
    if (this.#lanes === undefined) return;
    const { up, down } = this.#lanes;
    const [from, to, other] = gone === this.#client ? [up, down, this.#target] : [down, up, this.#client];
    if (from.ended && !from.silent && !to.ended && !to.silent && other !== undefined) resetSocket(other);
  }
}
