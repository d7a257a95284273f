import type { Clock } from "../contracts/clock.ts";
import type { Wire } from "../contracts/wire.ts";
import type { LimitSettings } from "../config/resolve-config.ts";
import { PoolExhaustedError } from "../errors/call-errors.ts";
import type { Deadlines, Timed } from "../time/deadlines.ts";
import { fairShare } from "./holdings.ts";
import type { Server } from "./server.ts";

interface Waiter<W extends Wire> extends Timed {
  /** Picks again whenever a slot frees: a choice made earlier would wait behind a busy server. */
  readonly choose: () => Server<W> | undefined;
  readonly settle: (server: Server<W>) => void;
  readonly fail: (error: unknown) => void;
}

/**
 * Hands out the slots of all servers of a pool: `maxConnections` each, then one bounded queue for the whole pool, or
 * an error at once. Principals take turns in the queue, and none of them can fill it.
 */
export class Limiter<W extends Wire> {
  readonly #pool: string;
  readonly #queue: LimitSettings["queue"];
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  /** By principal, the one whose turn is next first; those of callers without a principal count as one's. */
  readonly #lines = new Map<string | undefined, Set<Waiter<W>>>();
  #waiting = 0;

  constructor(pool: string, queue: LimitSettings["queue"], clock: Clock, deadlines: Deadlines) {
    this.#pool = pool;
    this.#queue = queue;
    this.#clock = clock;
    this.#deadlines = deadlines;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Waits for a slot after `choose` found none. The server that `choose` returns has its slot taken.
   * @param deadline on the clock's scale; the wait ends there at the latest.
   * @throws PoolExhaustedError, the reason of `signal`, or whatever `choose` throws when it is asked again.
   */
  wait(
    choose: () => Server<W> | undefined,
    deadline: number,
    signal: AbortSignal | undefined,
    principal?: string,
  ): Promise<Server<W>> {
    const queue = this.#queue;
    if (queue === false) throw new PoolExhaustedError(this.#pool, "no slot is free, and limits.queue is false");
    if (this.#waiting >= queue.size)
      throw new PoolExhaustedError(this.#pool, `${queue.size} calls wait for a slot already`);
    const line = this.#lines.get(principal) ?? new Set();
    if (principal !== undefined && line.size >= fairShare(queue.size))
      throw new PoolExhaustedError(this.#pool, `${line.size} calls of this principal wait for a slot already`);
    this.#lines.set(principal, line);
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting--;
        line.delete(waiter);
        if (line.size === 0 && this.#lines.get(principal) === line) this.#lines.delete(principal);
        this.#deadlines.remove(waiter);
        signal?.removeEventListener("abort", cancel);
      };
      const cancel = () => waiter.fail(signal?.reason);
      const start = this.#clock.now();
      const waiter: Waiter<W> = {
        choose,
        expiresAt: Math.min(start + queue.timeout, deadline),
        settle: (server) => {
          leave();
          resolve(server);
        },
        fail: (error) => {
          leave();
          // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the caller's own abort reason
          reject(error);
        },
        close: (reason) => waiter.fail(reason),
        expire: () => {
          const waited = Math.round(this.#clock.now() - start);
          waiter.fail(new PoolExhaustedError(this.#pool, `no slot became free within ${waited} ms`));
        },
      };
      signal?.addEventListener("abort", cancel, { once: true });
      this.#waiting++;
      line.add(waiter);
      this.#deadlines.add(waiter);
    });
  }

  /**
   * Slots became free, or a server usable: gives them to whoever waits longest and can use them, principals in turn.
   * @param slots how many may have become free at most.
   */
  offer(slots = 1): void {
    let left = slots;
    for (const [principal, line] of this.#lines) {
      if (!this.#serve(line)) continue;
      // Its next turn comes after those of all others; this loop comes to it again.
      if (this.#lines.delete(principal) && line.size > 0) this.#lines.set(principal, line);
      if (--left === 0) return;
    }
  }

  /** True when one of these calls got a slot. */
  #serve(line: ReadonlySet<Waiter<W>>): boolean {
    const now = this.#clock.now();
    for (const waiter of line) {
      if (waiter.expiresAt <= now) {
        // Its time is up, which is noticed by and by.
        waiter.expire();
        continue;
      }
      try {
        const server = waiter.choose();
        if (!server) continue;
        waiter.settle(server);
        return true;
      } catch (error) {
        // Nobody is left who could take it: its own failure, not that of whoever freed the slot.
        waiter.fail(error);
      }
    }
    return false;
  }
}
