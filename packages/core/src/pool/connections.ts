import type { Clock } from "../contracts/clock.ts";
import type { Connection } from "../contracts/connection.ts";
import type { Wire } from "../contracts/wire.ts";
import { SHARED, type Partition } from "./partition.ts";

/** How long, and how many, partitions are kept open that nobody uses. */
export interface Keeping {
  readonly most: number;
  /** Milliseconds. */
  readonly idle: number;
}

/** Those of some hundred people stay warm between two requests; those of people who went home are closed. */
const KEEPING: Keeping = { most: 256, idle: 120_000 };

/** Failures in a row, with nothing good in between, after which a connection is replaced. */
const FAILURES = 3;

/** One partition's connection, opening or open, and how many attempts use it. */
export class KeptConnection<W extends Wire> {
  readonly partition: Partition;
  connection: Connection<W> | Promise<Connection<W>>;
  users = 0;
  /** In a row. */
  failures = 0;
  /** On the clock's scale, while nobody uses it. */
  idleSince = 0;
  /** When the pool led its caller here last, on a scale that grows over all servers. */
  lastChoice = 0;
  /** Told when nobody uses it any more. */
  unused: (() => void) | undefined;
  #closed: Promise<void> | undefined;

  constructor(partition: Partition, opening: Promise<Connection<W>>) {
    this.partition = partition;
    this.connection = opening;
  }

  /** It may not be closed for want of use. */
  get lasting(): boolean {
    return !(this.connection instanceof Promise) && this.connection.lasting === true;
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    await (await this.connection)[Symbol.asyncDispose]();
  }
}

let choices = 0;

/**
 * The connections of one server under one address, by partition. A changed address gets new ones; the old ones close
 * when the last attempt that began with them has ended.
 *
 * There are as many partitions as principals with credentials of their own, so those that are not in use are closed: the
 * one that was used least recently when there are too many, and each when it was idle long enough. One timer watches
 * them all, and none runs while there are none. Those that hold a state are kept until their caller is released.
 */
export class Connections<W extends Wire> {
  readonly #connect: (partition: Partition) => Promise<Connection<W>>;
  readonly #clock: Clock;
  readonly #keeping: Keeping;
  readonly #open = new Map<string, KeptConnection<W>>();
  /** Those of {@link #open} that nobody uses and that need not stay, the longest idle first. */
  readonly #idle = new Set<KeptConnection<W>>();
  /** Those of {@link #open} that nobody uses and that hold a state. */
  readonly #lasting = new Set<KeptConnection<W>>();
  /** Not open any more, and not closed yet. */
  readonly #closing = new Set<KeptConnection<W>>();
  #timer: Disposable | undefined;
  #users = 0;
  #unused: (() => void) | undefined;
  #closed = false;

  constructor(connect: (partition: Partition) => Promise<Connection<W>>, clock: Clock, keeping: Keeping = KEEPING) {
    this.#connect = connect;
    this.#clock = clock;
    this.#keeping = keeping;
  }

  /** An attempt begins. */
  enter(): void {
    this.#users++;
  }

  /** An attempt has ended, its body included. */
  leave(): void {
    if (--this.#users === 0) this.#unused?.();
  }

  /**
   * The connection for a partition, which stays open until it is given back: at once when it is open, a promise while it
   * opens. Concurrent callers share one opening; one that failed is tried anew by the next caller.
   * @param chosen the pool chose this server for the caller, who did not name it.
   */
  take(partition: Partition, chosen = false): KeptConnection<W> {
    const kept = this.#open.get(partition.key) ?? this.#begin(partition);
    if (chosen) kept.lastChoice = ++choices;
    if (kept.users++ === 0) {
      this.#idle.delete(kept);
      this.#lasting.delete(kept);
    }
    return kept;
  }

  /** When the pool led the caller of a partition here last; 0: never. Undefined where it has no connection. */
  lastChoice({ key }: Partition): number | undefined {
    return this.#open.get(key)?.lastChoice;
  }

  /**
   * Closes the connections of a partition of the transport, each once its attempts have ended. Never rejects.
   * @param principal whose credentials they have, where they have any of their own.
   */
  async release(name: string, principal: string | undefined): Promise<void> {
    const released = [...this.#open.values()].filter(
      ({ partition }) =>
        partition.name === name && (partition.principal === undefined || partition.principal === principal),
    );
    await Promise.all(released.map((kept) => this.#release(kept)));
  }

  /**
   * An attempt that used a connection has ended. One that only fails is replaced, whatever the failures are called: its
   * server may have been restarted and know nothing of it.
   * @returns whether it was given up now.
   */
  ended(kept: KeptConnection<W>, verdict: "good" | "bad" | undefined): boolean {
    if (verdict === "good") kept.failures = 0;
    if (verdict !== "bad" || ++kept.failures < FAILURES || this.#open.get(kept.partition.key) !== kept) return false;
    void this.#release(kept);
    return true;
  }

  /** Whoever takes a partition next opens it anew; its connection closes once the attempts that have it have ended. */
  renew({ key }: Partition): void {
    const kept = this.#open.get(key);
    if (kept) void this.#release(kept);
  }

  giveBack(kept: KeptConnection<W>): void {
    const { key } = kept.partition;
    if (--kept.users > 0) return;
    kept.unused?.();
    if (key === SHARED.key || this.#open.get(key) !== kept) return;
    if (kept.lasting) this.#lasting.add(kept);
    else this.#rest(kept);
    this.#makeRoom();
    this.#watch();
  }

  /** Connections that hold sockets: without those that are only being opened, with those that are being closed. */
  *[Symbol.iterator](): Generator<Connection<W>> {
    for (const kept of [...this.#open.values(), ...this.#closing])
      if (!(kept.connection instanceof Promise)) yield kept.connection;
  }

  /** Closes every connection once no attempt uses them. */
  async closeWhenIdle(): Promise<void> {
    if (this.#users > 0) await new Promise<void>((resolve) => (this.#unused = resolve));
    await this.close();
  }

  /** Closes every connection now. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    const all = [...this.#open.values(), ...this.#closing];
    this.#open.clear();
    this.#idle.clear();
    this.#lasting.clear();
    await Promise.allSettled(all.map((kept) => kept.close()));
  }

  #begin(partition: Partition): KeptConnection<W> {
    if (this.#closed)
      return new KeptConnection<W>(partition, Promise.reject(new Error("the server has left the pool")));
    const kept: KeptConnection<W> = new KeptConnection(
      partition,
      this.#connect(partition).then(
        (connection) => (kept.connection = connection),
        (error: unknown) => {
          this.#forget(kept);
          throw error;
        },
      ),
    );
    this.#open.set(partition.key, kept);
    this.#makeRoom();
    return kept;
  }

  #forget(kept: KeptConnection<W>): void {
    if (this.#open.get(kept.partition.key) === kept) this.#open.delete(kept.partition.key);
    this.#idle.delete(kept);
    this.#lasting.delete(kept);
  }

  #rest(kept: KeptConnection<W>): void {
    kept.idleSince = this.#clock.now();
    this.#idle.add(kept);
  }

  /** Those in use stay, however many they are: their attempts hold slots, of which the server has a limited number. */
  #makeRoom(): void {
    for (const kept of this.#idle) {
      if (this.#open.size - this.#lasting.size <= this.#keeping.most) return;
      this.#closeUnused(kept);
    }
  }

  /** Closes one that nobody uses; not one that has come to hold a state. */
  #closeUnused(kept: KeptConnection<W>): void {
    if (kept.lasting) {
      this.#idle.delete(kept);
      this.#lasting.add(kept);
    } else void this.#drop(kept);
  }

  async #drop(kept: KeptConnection<W>): Promise<void> {
    this.#forget(kept);
    this.#closing.add(kept);
    await Promise.allSettled([kept.close()]);
    this.#closing.delete(kept);
  }

  async #release(kept: KeptConnection<W>): Promise<void> {
    this.#forget(kept);
    this.#closing.add(kept);
    if (kept.users > 0) await new Promise<void>((resolve) => (kept.unused = resolve));
    await this.#drop(kept);
  }

  #watch(): void {
    if (this.#timer || this.#idle.size + this.#lasting.size === 0) return;
    const [longest] = this.#idle;
    const left = longest ? longest.idleSince + this.#keeping.idle - this.#clock.now() : this.#keeping.idle;
    this.#timer = this.#clock.after(left, this.#closeIdle, { background: true });
  }

  readonly #closeIdle = (): void => {
    this.#timer = undefined;
    const since = this.#clock.now() - this.#keeping.idle;
    for (const kept of this.#idle) {
      if (kept.idleSince > since) break;
      this.#closeUnused(kept);
    }
    // What has no state to lose any more is as good as any other from now on.
    for (const kept of this.#lasting) {
      if (kept.lasting) continue;
      this.#lasting.delete(kept);
      this.#rest(kept);
    }
    this.#watch();
  };
}
