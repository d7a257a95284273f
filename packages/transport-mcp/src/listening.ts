import { describeError, type Clock, type Log } from "@davpool/core";
import {
  METHOD_NOT_FOUND,
  ProtocolError,
  type Client,
  type McpSubscription,
  type SubscriptionFilter,
} from "@modelcontextprotocol/client";
import { ConnectionBrokenError, ConnectionClosedError } from "./errors.ts";

/** Milliseconds before it is opened anew; doubles. */
const FIRST_PAUSE = 1_000;
/** The longest such pause. One that was open for longer did its work. */
const LONGEST_PAUSE = 60_000;
/** Milliseconds that a server may take to say that it has begun. */
const PATIENCE = 30_000;
/** The longest time that a timer takes: the clock above counts. */
const FOREVER = 2 ** 31 - 1;

export interface ListeningParts {
  readonly serverId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** Begins a listen of the protocol's machinery. */
  readonly listen: Client["listen"];
}

/**
 * What a server of the modern era tells of its own accord, it tells on a stream that was asked for: that its lists have
 * changed, and that resources have which somebody subscribed to. The stream is opened anew, for ever, when it ends; a
 * change of what is wanted opens another one before the former is closed.
 */
export class Listening {
  readonly #parts: ListeningParts;
  readonly #lists: SubscriptionFilter;
  readonly #uris = new Set<string>();
  readonly #stop = new AbortController();
  #current: McpSubscription | undefined;
  #openedAt = 0;
  #turn: Promise<void> = Promise.resolve();
  /** The change that has not begun yet: all who come meanwhile share it. */
  #next: Promise<void> | undefined;
  #timer: Disposable | undefined;
  #failures = 0;

  /** @param capabilities the server's. */
  constructor(capabilities: Readonly<Record<string, unknown>>, parts: ListeningParts) {
    this.#parts = parts;
    const changes = (kind: string) =>
      (capabilities[kind] as { readonly listChanged?: unknown } | undefined)?.listChanged === true;
    this.#lists = {
      ...(changes("tools") && { toolsListChanged: true }),
      ...(changes("prompts") && { promptsListChanged: true }),
      ...(changes("resources") && { resourcesListChanged: true }),
    };
    this.#renew().catch(() => {});
  }

  /** Resolves once changes of the resource are told. Rejects when the server does not take it on. */
  async subscribe(uri: string, signal: AbortSignal): Promise<void> {
    if (this.#uris.has(uri) && this.#current) return;
    this.#uris.add(uri);
    try {
      await unless(signal, this.#renew());
    } catch (error) {
      this.#uris.delete(uri);
      throw error;
    }
  }

  /** Resolves once changes of the resource are not told any more, or may be told for a while. */
  async unsubscribe(uri: string, signal: AbortSignal): Promise<void> {
    if (this.#uris.delete(uri)) await unless(signal, this.#renew()).catch(() => {});
  }

  close(): void {
    this.#timer?.[Symbol.dispose]();
    this.#stop.abort(new ConnectionClosedError());
  }

  /** Changes wait for each other. */
  #renew(): Promise<void> {
    if (this.#next) return this.#next;
    const next = this.#turn.then(() => {
      this.#next = undefined;
      return this.#open();
    });
    this.#next = next;
    this.#turn = next.catch(() => {});
    return next;
  }

  async #open(): Promise<void> {
    this.#stop.signal.throwIfAborted();
    this.#timer?.[Symbol.dispose]();
    const former = this.#current;
    const filter = { ...this.#lists, ...(this.#uris.size > 0 && { resourceSubscriptions: [...this.#uris] }) };
    let opened: McpSubscription | undefined;
    try {
      if (Object.keys(filter).length > 0) opened = await this.#listen(filter);
    } catch (error) {
      this.#failed(error);
      throw error;
    }
    this.#current = opened;
    this.#openedAt = this.#parts.clock.now();
    void former?.close();
    void opened?.closed.then((how) => this.#ended(opened, how));
  }

  async #listen(filter: SubscriptionFilter): Promise<McpSubscription> {
    const { clock, listen } = this.#parts;
    const limit = new AbortController();
    const end = () => limit.abort(this.#stop.signal.reason);
    this.#stop.signal.addEventListener("abort", end, { once: true });
    const timer = clock.after(
      PATIENCE,
      () => limit.abort(new ConnectionBrokenError(`it did not begin to tell what changes within ${PATIENCE} ms`)),
      { background: true },
    );
    try {
      return await listen(filter, { signal: limit.signal, timeout: FOREVER });
    } finally {
      timer[Symbol.dispose]();
      this.#stop.signal.removeEventListener("abort", end);
    }
  }

  #ended(which: McpSubscription, how: "local" | "graceful" | "remote"): void {
    if (this.#current !== which) return;
    this.#current = undefined;
    if (this.#parts.clock.now() - this.#openedAt > LONGEST_PAUSE) this.#failures = 0;
    this.#again(`the stream has ended (${how})`);
  }

  #failed(error: unknown): void {
    // While the former one is open, only what was to be changed is missing, and whoever wanted it is told.
    if (this.#current) return;
    // It says that it never tells anything.
    if (error instanceof ProtocolError && error.code === METHOD_NOT_FOUND) return;
    this.#again(describeError(error));
  }

  #again(reason: string): void {
    if (this.#stop.signal.aborted) return;
    const { clock, log, random, serverId } = this.#parts;
    const pause = Math.min(FIRST_PAUSE * 2 ** Math.min(this.#failures++, 20), LONGEST_PAUSE) * (0.5 + random() / 2);
    log.debug("A server does not tell what changes; it is asked again.", { serverId, reason, next: Math.round(pause) });
    this.#timer?.[Symbol.dispose]();
    this.#timer = clock.after(pause, () => void this.#renew().catch(() => {}), { background: true });
  }
}

/** Settles with `work`, or rejects when the signal aborts. */
function unless<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
