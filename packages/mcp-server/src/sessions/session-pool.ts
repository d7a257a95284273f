import { randomUUID } from "node:crypto";
import { describeError, version, type Clock, type Log } from "@davpool/core";
import type { Server } from "@modelcontextprotocol/server";
import { metrics } from "@opentelemetry/api";
import type { LastingClient } from "../lasting-client.ts";
import type { SessionSettings } from "./section.ts";
import { Session } from "./session.ts";

/** Milliseconds between two looks at all sessions. */
const SWEEP = 30_000;
/** Milliseconds after which an idle session makes room for a new one when all places are taken. */
const SPARE = 60_000;

export interface SessionPoolParts {
  readonly settings: SessionSettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly createServer: (client: LastingClient) => Server;
  /** Told of each session that is over. */
  readonly over: (sessionId: string, principal: string | undefined) => void;
}

/** What became of sessions since the start. */
export interface SessionCounts {
  created: number;
  /** Requests that found their session warm. */
  reused: number;
  /** Ended to make room for others. */
  evicted: number;
  /** Ended because nobody used them, or because they lasted too long. */
  timedOut: number;
  /** Ended by their client. */
  closed: number;
  /** Broke, and were built anew. */
  recovered: number;
  /** Clients that were served without one, because there was no place or none could be made. */
  degraded: number;
}

/**
 * The sessions of 2025-era clients, by id. Each belongs to the principal who opened it, and to others it is not there.
 * One timer looks after all of them.
 */
export class SessionPool implements AsyncDisposable {
  readonly #parts: SessionPoolParts;
  /** The one that was used last is the last. */
  readonly #sessions = new Map<string, Session>();
  readonly #byPrincipal = new Map<string, Set<Session>>();
  readonly counts: SessionCounts = {
    created: 0,
    reused: 0,
    evicted: 0,
    timedOut: 0,
    closed: 0,
    recovered: 0,
    degraded: 0,
  };
  #timer: Disposable | undefined;
  #closed = false;
  readonly #stopMetrics: () => void;

  constructor(parts: SessionPoolParts) {
    this.#parts = parts;
    this.#stopMetrics = this.#observe();
  }

  get size(): number {
    return this.#sessions.size;
  }

  /**
   * A session for a client that wants one; undefined when it must do without: sessions are off, or there is no place.
   * @param principal undefined for nobody in particular, whose sessions are only counted in all.
   */
  open(principal: string | undefined): Session | undefined {
    const { settings } = this.#parts;
    if (!settings.enabled || this.#closed) return undefined;
    if (!this.#makeRoom(principal)) {
      this.#degraded();
      return undefined;
    }
    const session = new Session(randomUUID(), principal, {
      ...this.#parts,
      ended: (ended) => {
        this.counts.closed++;
        this.#forget(ended);
      },
      recovered: () => this.counts.recovered++,
    });
    this.#sessions.set(session.id, session);
    if (principal !== undefined) {
      const own = this.#byPrincipal.get(principal) ?? new Set();
      this.#byPrincipal.set(principal, own.add(session));
    }
    this.#arm();
    return session;
  }

  /** A client has opened its session. */
  opened(): void {
    this.counts.created++;
  }

  /** The session that the principal may go on with. */
  find(id: string, principal: string | undefined): Session | undefined {
    const session = this.#sessions.get(id);
    if (!session || session.principal !== principal || this.#isOver(session)) return undefined;
    this.counts.reused++;
    this.#sessions.delete(id);
    this.#sessions.set(id, session);
    return session;
  }

  /**
   * A session was not opened after all.
   * @param degraded its client is served without one. Otherwise it was told what is wrong with its request.
   */
  async discard(session: Session, degraded: boolean): Promise<void> {
    if (degraded) this.#degraded();
    await this.#end(session);
  }

  /** Ends the sessions of principals that nobody knows any more. */
  endUnless(known: (principal: string) => boolean): void {
    for (const [principal, own] of this.#byPrincipal)
      if (!known(principal)) for (const session of own) void this.#end(session);
  }

  /** Ends what is over and looks whether the others are well. It runs by itself. */
  sweep(): void {
    for (const session of this.#sessions.values()) {
      if (this.#isOver(session)) {
        this.counts.timedOut++;
        void this.#end(session);
        continue;
      }
      session.sweep();
      if (session.broken)
        session.repair().catch((error: unknown) => {
          this.#parts.log.warn(`A session broke and cannot be repaired: ${describeError(error)}`);
          void this.#end(session);
        });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.#stopMetrics();
    await Promise.all([...this.#sessions.values()].map((session) => this.#end(session)));
  }

  #isOver(session: Session): boolean {
    const { idle, lifetime } = this.#parts.settings;
    return session.idleFor >= idle || session.age >= lifetime;
  }

  #makeRoom(principal: string | undefined): boolean {
    const { perPrincipal, total } = this.#parts.settings;
    const own = principal === undefined ? undefined : this.#byPrincipal.get(principal);
    // One with an open stream gives way as well: most clients keep one open for as long as they run.
    if (own && own.size >= perPrincipal && !this.#evict(own, 0) && !this.#evict(own, 0, Infinity)) return false;
    return this.#sessions.size < total || this.#evict(this.#sessions.values(), SPARE);
  }

  /**
   * Ends the one whose last request is the longest ago.
   * @param least milliseconds for which it must have been idle.
   * @param open requests and streams that may be open in it.
   */
  #evict(sessions: Iterable<Session>, least: number, open = 0): boolean {
    let oldest: Session | undefined;
    for (const session of sessions)
      if (session.open <= open && (!oldest || session.lastUsedAt < oldest.lastUsedAt)) oldest = session;
    if (!oldest || oldest.idleFor < least) return false;
    this.counts.evicted++;
    void this.#end(oldest);
    return true;
  }

  #degraded(): void {
    if (this.counts.degraded++ === 0)
      this.#parts.log.warn("There is no place for another session: clients are served without one for now.", {
        sessions: this.#sessions.size,
      });
  }

  async #end(session: Session): Promise<void> {
    const closing = session.close();
    this.#forget(session);
    try {
      await closing;
    } catch (error) {
      this.#parts.log.debug(`A session did not close: ${describeError(error)}`);
    }
  }

  #forget(session: Session): void {
    if (this.#sessions.delete(session.id)) this.#parts.over(session.id, session.principal);
    if (session.principal === undefined) return;
    const own = this.#byPrincipal.get(session.principal);
    own?.delete(session);
    if (own?.size === 0) this.#byPrincipal.delete(session.principal);
  }

  #arm(): void {
    if (this.#timer || this.#closed) return;
    const { clock, settings } = this.#parts;
    const time = Math.max(1_000, Math.min(SWEEP, settings.idle / 2, settings.lifetime / 2));
    const run = () => {
      this.#timer = undefined;
      this.sweep();
      if (this.#sessions.size > 0) this.#arm();
    };
    this.#timer = clock.after(time, run, { background: true });
  }

  #observe(): () => void {
    const meter = metrics.getMeter("@davpool/mcp-server", version);
    const active = meter.createObservableGauge("davpool.sessions.active", { description: "Sessions that are open." });
    const events = meter.createObservableCounter("davpool.sessions", {
      description: "What became of sessions: created, reused, evicted, timed_out, closed, recovered, degraded.",
    });
    const observe: Parameters<typeof meter.addBatchObservableCallback>[0] = (result) => {
      result.observe(active, this.#sessions.size);
      for (const [name, count] of Object.entries(this.counts))
        result.observe(events, count, { "davpool.session.event": name === "timedOut" ? "timed_out" : name });
    };
    meter.addBatchObservableCallback(observe, [active, events]);
    return () => meter.removeBatchObservableCallback(observe, [active, events]);
  }
}
