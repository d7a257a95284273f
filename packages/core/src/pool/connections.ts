import type { Connection } from "../contracts/connection.ts";
import type { Caller, Wire } from "../contracts/wire.ts";

/**
 * The connections of one server under one address, by partition. A changed address gets new ones; the old ones close
 * when the last attempt that began with them has ended.
 */
export class Connections<W extends Wire> {
  readonly #connect: (partition: string, caller: Caller) => Promise<Connection<W>>;
  readonly #open = new Map<string, Connection<W> | Promise<Connection<W>>>();
  #users = 0;
  #idle: (() => void) | undefined;
  #closed = false;

  constructor(connect: (partition: string, caller: Caller) => Promise<Connection<W>>) {
    this.#connect = connect;
  }

  /** An attempt begins. */
  enter(): void {
    this.#users++;
  }

  /** An attempt has ended, its body included. */
  leave(): void {
    if (--this.#users === 0) this.#idle?.();
  }

  /**
   * The connection for a partition: at once when it is open, a promise while it opens. Concurrent callers share one
   * opening; one that failed is tried anew by the next caller.
   */
  get(partition: string, caller: Caller): Connection<W> | Promise<Connection<W>> {
    return this.#open.get(partition) ?? this.#begin(partition, caller);
  }

  /** Connections that are open, without those that are only being opened. */
  *[Symbol.iterator](): Generator<Connection<W>> {
    for (const connection of this.#open.values()) if (!(connection instanceof Promise)) yield connection;
  }

  /** Closes every connection once no attempt uses them. */
  async closeWhenIdle(): Promise<void> {
    if (this.#users > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    await this.close();
  }

  /** Closes every connection now. */
  async close(): Promise<void> {
    this.#closed = true;
    const open = [...this.#open.values()];
    this.#open.clear();
    await Promise.allSettled(open.map(async (connection) => (await connection)[Symbol.asyncDispose]()));
  }

  #begin(partition: string, caller: Caller): Promise<Connection<W>> {
    if (this.#closed) return Promise.reject(new Error("the server has left the pool"));
    const opening = this.#connect(partition, caller).then(
      (connection) => {
        if (!this.#closed) this.#open.set(partition, connection);
        return connection;
      },
      (error: unknown) => {
        this.#open.delete(partition);
        throw error;
      },
    );
    this.#open.set(partition, opening);
    return opening;
  }
}
