import type { Exchange } from "../exchange.ts";
import type { Listener } from "../listener.ts";
import { matchesPath } from "../request-log.ts";
import type { LoggedRequest } from "../request-log.ts";
import { behaviourOf } from "./behaviour-of.ts";
import { STAGES } from "./behaviour.ts";
import type { FaultBehaviour } from "./behaviour.ts";
import type { ActiveFault, Fault, FaultFilter } from "./fault.ts";

/** The faults of one server that are on. */
export class Switchboard {
  readonly #listener: Listener;
  readonly #on = new Set<SwitchedFault>();

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  async inject(fault: Fault): Promise<ActiveFault> {
    const release = fault.kind === "refuse" ? await this.#listener.refuse() : undefined;
    const behaviour = fault.kind === "refuse" ? undefined : behaviourOf(fault);
    const switched = new SwitchedFault(fault, behaviour, async () => {
      this.#on.delete(switched);
      await release?.();
    });
    this.#on.add(switched);
    return switched;
  }

  async clear(): Promise<void> {
    await Promise.all([...this.#on].map((switched) => switched.off()));
  }

  /** Leads the exchange through the faults that it meets, and then, if they let it, to `serve`. */
  run(exchange: Exchange, serve: () => Promise<void>): Promise<void> {
    const met = [...this.#on].flatMap((switched) => switched.meet(exchange) ?? []);
    met.sort((a, b) => STAGES.indexOf(a.behaviour.stage) - STAGES.indexOf(b.behaviour.stage));
    const from = (index: number): Promise<void> => {
      const step = met[index];
      return step === undefined ? serve() : step.behaviour.run(exchange, () => from(index + 1), step.off);
    };
    return from(0);
  }
}

class SwitchedFault implements ActiveFault {
  readonly fault: Fault;
  hits = 0;
  readonly #filter: FaultFilter;
  readonly #behaviour: FaultBehaviour | undefined;
  readonly #off = new AbortController();
  readonly #release: () => Promise<void>;
  #released: Promise<void> | undefined;

  /** Faults of the whole server have no behaviour towards single requests. */
  constructor(fault: Fault, behaviour: FaultBehaviour | undefined, release: () => Promise<void>) {
    this.fault = fault;
    this.#filter = fault.kind === "refuse" ? {} : fault;
    this.#behaviour = behaviour;
    this.#release = release;
  }

  /** Counts the request and tells what to do with it; undefined when the fault does not concern it. */
  meet(exchange: Exchange): { readonly behaviour: FaultBehaviour; readonly off: AbortSignal } | undefined {
    const behaviour = this.#behaviour;
    if (behaviour === undefined || !concerns(this.#filter, this.hits, exchange.logged)) return undefined;
    this.hits += 1;
    exchange.noteFault(this.fault.kind);
    return { behaviour, off: this.#off.signal };
  }

  off(): Promise<void> {
    this.#off.abort();
    this.#released ??= this.#release();
    return this.#released;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.off();
  }
}

function concerns(filter: FaultFilter, hits: number, request: LoggedRequest): boolean {
  const { methods, path, times = Infinity } = filter;
  if (hits >= times) return false;
  if (methods !== undefined && !methods.some((method) => method.toUpperCase() === request.method)) return false;
  return path === undefined || matchesPath(request.path, path);
}
