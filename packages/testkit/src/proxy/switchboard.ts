import { checkFault } from "../faults/check-fault.ts";
import type { ActiveFault, ListenerFault } from "../faults/fault.ts";
import { isListenerFault } from "../faults/switchboard.ts";
import { SwitchedFault } from "../faults/switched-fault.ts";
import type { Listener } from "../listener.ts";
import { behaviourOf } from "./behaviour.ts";
import type { ConnectionBehaviour } from "./behaviour.ts";
import type { Lane } from "./lane.ts";
import { PROXY_FAULT_FIELDS } from "./proxy-fault-fields.ts";
import type { ConnectionFault, ProxyFault } from "./proxy-fault.ts";
import type { ProxiedConnection } from "./proxied-connection.ts";

/** A fault that acts on a lane. */
export interface Meeting {
  readonly behaviour: ConnectionBehaviour;
  readonly switched: SwitchedFault<ConnectionFault>;
  /** Bytes that the lane had forwarded when it met the fault. */
  readonly from: number;
}

/** One fault that is on, and whom it has met. */
interface ConnectionSwitch {
  readonly switched: SwitchedFault<ConnectionFault>;
  readonly behaviour: ConnectionBehaviour;
  readonly connections: WeakMap<ProxiedConnection, boolean>;
  readonly lanes: WeakMap<Lane, Meeting>;
}

const NONE: readonly Meeting[] = [];

/** The faults of one proxy that are on. */
export class ProxySwitchboard {
  readonly #listener: Listener;
  readonly #changed: (off?: SwitchedFault<ConnectionFault>) => void;
  readonly #imposed = new Set<ActiveFault<ProxyFault>>();
  readonly #on = new Set<ConnectionSwitch>();

  /** `changed` is called after a fault of connections has been switched on, or `off`. */
  constructor(listener: Listener, changed: (off?: SwitchedFault<ConnectionFault>) => void) {
    this.#listener = listener;
    this.#changed = changed;
  }

  async inject(fault: ProxyFault): Promise<ActiveFault<ProxyFault>> {
    checkFault("a proxy", PROXY_FAULT_FIELDS, fault);
    return isListenerFault(fault) ? this.#impose(fault) : this.#switchOn(fault);
  }

  async clear(): Promise<void> {
    const connectionFaults = [...this.#on].map(({ switched }) => switched);
    await Promise.all([...this.#imposed, ...connectionFaults].map((switched) => switched.off()));
  }

  /** The fault that keeps a new connection from being forwarded, if there is one. */
  swallowing(connection: ProxiedConnection): Meeting | undefined {
    for (const on of this.#on) {
      const { behaviour, switched } = on;
      if (behaviour.swallows === true && meets(on, connection)) return { behaviour, switched, from: 0 };
    }
    return undefined;
  }

  /** The faults that act on what passes next: on bytes, or on the `end` of what the source has to say. */
  acting(connection: ProxiedConnection, lane: Lane, what: "bytes" | "end"): readonly Meeting[] {
    if (this.#on.size === 0) return NONE;
    const meetings: Meeting[] = [];
    for (const on of this.#on) {
      const { direction, ends } = on.behaviour;
      const applies = (direction === "both" || direction === lane.direction) && (what === "bytes" || ends === true);
      if (applies && meets(on, connection)) meetings.push(meetingOf(on, lane));
    }
    return meetings;
  }

  async #impose(fault: ListenerFault): Promise<ActiveFault<ProxyFault>> {
    const release = await this.#listener.impose(fault.kind);
    const switched = new SwitchedFault(fault, (itself) => {
      this.#imposed.delete(itself);
      return release();
    });
    this.#imposed.add(switched);
    return switched;
  }

  #switchOn(fault: ConnectionFault): ActiveFault<ProxyFault> {
    const behaviour = behaviourOf(fault);
    const switched = new SwitchedFault(fault, async () => {
      this.#on.delete(on);
      this.#changed(switched);
    });
    const on: ConnectionSwitch = { switched, behaviour, connections: new WeakMap(), lanes: new WeakMap() };
    this.#on.add(on);
    this.#changed();
    return switched;
  }
}

/** Decided once for each connection, when the first byte passes. */
function meets({ connections, switched }: ConnectionSwitch, connection: ProxiedConnection): boolean {
  const known = connections.get(connection);
  if (known !== undefined) return known;
  const met = switched.meet();
  connections.set(connection, met);
  return met;
}

function meetingOf({ behaviour, switched, lanes }: ConnectionSwitch, lane: Lane): Meeting {
  const known = lanes.get(lane);
  if (known !== undefined) return known;
  const meeting = { behaviour, switched, from: lane.passed };
  lanes.set(lane, meeting);
  return meeting;
}
