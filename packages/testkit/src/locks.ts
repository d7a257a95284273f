import { randomUUID } from "node:crypto";
import type { Clock } from "./clock.ts";
import { systemClock } from "./clock.ts";
import { isBelow, normalizePath } from "./paths.ts";

export type LockScope = "exclusive" | "shared";
export type LockDepth = "0" | "infinity";

/** A write lock (RFC 4918, section 6). */
export interface Lock {
  /** A `urn:uuid:` URI, without angle brackets. */
  readonly token: string;
  /** The path that was locked. With depth infinity the lock covers everything below it too. */
  readonly path: string;
  readonly scope: LockScope;
  readonly depth: LockDepth;
  /** The `owner` element as the client sent it, or an empty string. */
  readonly owner: string;
  /** What was granted, in seconds. */
  readonly timeout: number;
  /** When it ends, on the table's clock, in milliseconds. */
  readonly expires: number;
}

/** The locks of one server, or of several that share their lock database. An expired lock is gone. */
export class LockTable {
  readonly #clock: Clock;
  readonly #locks = new Map<string, Lock>();

  constructor(options: { readonly clock?: Clock } = {}) {
    this.#clock = options.clock ?? systemClock;
  }

  /** All locks in force. */
  list(): Lock[] {
    const now = this.#clock.now();
    for (const lock of this.#locks.values()) if (lock.expires <= now) this.#locks.delete(lock.token);
    return [...this.#locks.values()];
  }

  /** The locks that cover `path`: its own, and those with infinite depth above it. */
  covering(path: string): Lock[] {
    return this.list().filter((lock) => lock.path === path || (lock.depth === "infinity" && isBelow(path, lock.path)));
  }

  /** The locks on members of `path`, at any depth. */
  below(path: string): Lock[] {
    return this.list().filter((lock) => isBelow(lock.path, path));
  }

  /** Whether `token` names a lock that covers `path`. */
  covers(token: string, path: string): boolean {
    return this.covering(path).some((lock) => lock.token === token);
  }

  /** Adds a lock without asking whether it conflicts with another. `timeout` is in seconds. */
  grant(request: Pick<Lock, "path" | "scope" | "depth" | "owner" | "timeout">): Lock {
    const token = `urn:uuid:${randomUUID()}`;
    const lock = { ...request, path: normalizePath(request.path), token, expires: this.#expiry(request.timeout) };
    this.#locks.set(token, lock);
    return lock;
  }

  /** Starts a lock's time again. `timeout` is in seconds. */
  refresh(lock: Lock, timeout: number): Lock {
    const refreshed = { ...lock, timeout, expires: this.#expiry(timeout) };
    this.#locks.set(lock.token, refreshed);
    return refreshed;
  }

  /** Ends a lock; false when there was none with that token. */
  release(token: string): boolean {
    return this.#locks.delete(token);
  }

  /** Ends the locks at and below `path`, because what they locked is gone. */
  releaseTree(path: string): void {
    for (const lock of this.list()) {
      if (lock.path === path || isBelow(lock.path, path)) this.#locks.delete(lock.token);
    }
  }

  /** Ends all locks, as a server does that keeps them in memory and is restarted. */
  clear(): void {
    this.#locks.clear();
  }

  #expiry(timeout: number): number {
    return this.#clock.now() + timeout * 1000;
  }
}
