import type { Exchange } from "../exchange.ts";
import type { Listener } from "../listener.ts";
import { matchesPath } from "../request-log.ts";
import type { LoggedRequest } from "../request-log.ts";
import { behaviourOf } from "./behaviour-of.ts";
import { STAGES } from "./behaviour.ts";
import type { FaultBehaviour } from "./behaviour.ts";
import { checkFault } from "./check-fault.ts";
import { FAULT_FIELDS } from "./fault-fields.ts";
import type { ActiveFault, Fault, FaultFilter, ListenerFault, RequestFault } from "./fault.ts";
import { SwitchedFault } from "./switched-fault.ts";

interface RequestSwitch {
  readonly switched: SwitchedFault<RequestFault>;
  readonly behaviour: FaultBehaviour;
}

/** The faults of one server that are on. */
export class Switchboard {
  readonly #listener: Listener;
  /** Those of the server as a whole, which do not act on single requests. */
  readonly #imposed = new Set<ActiveFault>();
  readonly #on = new Set<RequestSwitch>();

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  async inject(fault: Fault): Promise<ActiveFault> {
    checkFault("a server", FAULT_FIELDS, fault);
    return isListenerFault(fault) ? this.#impose(fault) : this.#switchOn(fault);
  }

  async clear(): Promise<void> {
    const requestFaults = [...this.#on].map(({ switched }) => switched);
    await Promise.all([...this.#imposed, ...requestFaults].map((switched) => switched.off()));
  }

  /** Leads the exchange through the faults that it meets, and then, if they let it, to `serve`. */
  run(exchange: Exchange, serve: () => Promise<void>): Promise<void> {
    const met = [...this.#on].filter((on) => meets(on, exchange));
    met.sort((a, b) => STAGES.indexOf(a.behaviour.stage) - STAGES.indexOf(b.behaviour.stage));
    const from = (index: number): Promise<void> => {
      const step = met[index];
      if (step === undefined) return serve();
      return step.behaviour.run(exchange, () => from(index + 1), step.switched.signal);
    };
    return from(0);
  }

  async #impose(fault: ListenerFault): Promise<ActiveFault> {
    const release = await this.#listener.impose(fault.kind);
    const switched = new SwitchedFault(fault, (itself) => {
      this.#imposed.delete(itself);
      return release();
    });
    this.#imposed.add(switched);
    return switched;
  }

  #switchOn(fault: RequestFault): ActiveFault {
    const behaviour = behaviourOf(fault);
    const switched = new SwitchedFault(fault, async () => void this.#on.delete(on));
    const on: RequestSwitch = { switched, behaviour };
    this.#on.add(on);
    return switched;
  }
}

export function isListenerFault(fault: { readonly kind: string }): fault is ListenerFault {
  return fault.kind === "refuse" || fault.kind === "connect-timeout";
}

/** Counts the request when the fault meets it. */
function meets({ switched, behaviour }: RequestSwitch, exchange: Exchange): boolean {
  if (!concerns(switched.fault, exchange.logged) || behaviour.concerns?.(exchange) === false) return false;
  if (!switched.meet()) return false;
  exchange.noteFault(switched.fault.kind);
  return true;
}

function concerns({ methods, path }: FaultFilter, request: LoggedRequest): boolean {
  if (methods !== undefined && !methods.some((method) => method.toUpperCase() === request.method)) return false;
  return path === undefined || matchesPath(request.path, path);
}
