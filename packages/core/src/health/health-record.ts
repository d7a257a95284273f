import type { Clock } from "../contracts/clock.ts";
import type { HealthSnapshot, StoredSnapshot } from "../contracts/profile-store.ts";
import type { HealthState } from "../contracts/selector.ts";
import type { HealthSettings } from "../config/resolve-config.ts";
import { Suspicion, type Evidence } from "./suspicion.ts";
import { Uptime } from "./uptime.ts";

/** How long an ejection may grow to, as a multiple of the configured time. */
const LONGEST_EJECTION = 10;

/** Share of requests that a server has at first when it has recovered. */
const FIRST_SHARE = 0.1;

export interface HealthRecordHooks {
  /**
   * The state changed, or whether the server is usable.
   * @param ejected requests, and not checks, took it out.
   */
  changed(previous: HealthState, reason: string | undefined, ejected?: boolean): void;
  /** Asked before a request's failure ejects the server: false keeps the last usable server in rotation. */
  mayEject(): boolean;
}

/**
 * Turns single results into one server's state, by counting.
 *
 * Both checks and requests count towards `unhealthy`; requests only when what failed speaks about the server as a whole
 * ({@link Suspicion}). The way back is the checks' alone: failover sticks until they say that the server has recovered. Where requests keep failing that checks find well, the server also rests, longer
 * each time. Only where checks are off, one request at a time serves as the trial, after such a rest. Back in rotation,
 * a server's share grows little by little.
 */
export class HealthRecord {
  readonly #settings: HealthSettings;
  readonly #clock: Clock;
  readonly #hooks: HealthRecordHooks;
  readonly #uptime: Uptime;
  readonly #suspicion: Suspicion;
  /** Whether checks run for this server; if not, requests are the way back. */
  #checked: boolean;

  state: HealthState = "healthy";
  consecutiveFailures = 0;
  consecutiveSuccesses = 0;
  /** The last thing that went wrong, in one line, until the server is healthy again. */
  problem: string | undefined;
  #lastCheck: string | undefined;
  #responseTime: number | undefined;
  /** Results in a row that were good in every respect; a slow answer is a success and not good. */
  #good = 0;
  /** The last check found the server slow; requests alone do not take that back. */
  #slow = false;
  /** A restored state needs one success to be overturned, not several. */
  #hint = false;
  #ejections = 0;
  /** Checks alone do not bring it back before; they said all along that it was well. */
  #notBefore: number | undefined;
  #recoveredAt: number | undefined;
  #ramp: Disposable | undefined;
  #rejections = 0;
  #rest: Disposable | undefined;
  /** One that runs stays the only one until it ends, also when the server has recovered and failed again meanwhile. */
  #trial: "none" | "ready" | "running" = "none";

  constructor(settings: HealthSettings, checked: boolean, clock: Clock, hooks: HealthRecordHooks) {
    this.#settings = settings;
    this.#checked = checked;
    this.#clock = clock;
    this.#hooks = hooks;
    this.#uptime = new Uptime(clock.now());
    this.#suspicion = new Suspicion(settings, () => clock.now());
  }

  /** May take a request now. */
  get usable(): boolean {
    return this.state !== "unhealthy" || this.#trial === "ready";
  }

  /** Its share of requests beside servers that have theirs: 1, or less for a while after it has recovered. */
  get share(): number {
    if (this.#recoveredAt === undefined) return 1;
    const part = (this.#clock.now() - this.#recoveredAt) / this.#settings.slowStart;
    return Math.min(1, FIRST_SHARE + (1 - FIRST_SHARE) * part);
  }

  /** Whether checks run changed. Somebody must always be the way back. */
  setChecked(checked: boolean): void {
    if (checked === this.#checked) return;
    this.#checked = checked;
    this.#endTrials();
    if (this.state === "unhealthy" && !checked) this.#eject();
  }

  /** A request was given to this server. True when it is the trial, whose outcome tells whether it has recovered. */
  taken(): boolean {
    if (this.#trial !== "ready") return false;
    this.#trial = "running";
    this.#hooks.changed(this.state, undefined);
    return true;
  }

  /**
   * The server should not be asked for this resource on behalf of this principal, as long as another one can be: the same
   * has failed here again and again.
   */
  avoids(principal: string | undefined, resource: string | undefined): boolean {
    return this.#suspicion.avoids(principal, resource);
  }

  /**
   * The result of a health check.
   * @param certain one such result is enough, such as refused credentials.
   */
  check(
    result: "healthy" | "degraded" | "failed",
    latency: number,
    reason: string | undefined,
    certain: boolean = false,
  ): void {
    this.#lastCheck = this.#clock.wall().toISOString();
    this.#slow = result === "degraded";
    if (result === "failed") {
      // Checks and requests agree; when checks find it well again, they are to be believed.
      this.#notBefore = undefined;
      this.#failed(reason, { certain });
      return;
    }
    this.#responseTime = latency;
    if (result === "degraded") this.problem = reason;
    this.#succeeded(result);
  }

  /**
   * How a request to this server ended, as far as it speaks about the server.
   * @param trial what {@link HealthRecord.taken} said when it was given.
   * @param evidence what was asked, by whom. Left out for a failure that speaks about the whole server, such as a refused
   * connection.
   */
  outcome(reason: string | undefined, latency: number, trial: boolean, evidence?: Evidence): void {
    if (trial) this.#trial = "none";
    this.#rejections = 0;
    if (reason !== undefined) {
      this.#failed(reason, { evidence });
      if (trial && this.state === "unhealthy" && !this.#checked) this.#eject();
      return;
    }
    this.#responseTime = latency;
    this.#suspicion.succeeded(evidence);
    if (this.state === "unhealthy" && this.#checked) return;
    this.#succeeded(this.#slow ? "degraded" : "healthy");
    // It answered: the next trial need not wait.
    if (this.state === "unhealthy" && this.#trial === "none") this.#offerTrial();
  }

  /** A request was refused in a way that speaks about the server only when it repeats itself. */
  rejected(reason: string, latency: number, trial: boolean, evidence?: Evidence): void {
    if (++this.#rejections >= this.#settings.rejections) this.outcome(reason, latency, trial, evidence);
    else if (trial) this.undecided();
  }

  /** A trial ended without saying anything about the server: its caller went away. */
  undecided(): void {
    this.#trial = "none";
    if (this.state === "unhealthy" && !this.#checked && !this.#rest) this.#offerTrial();
  }

  restore(snapshot: StoredSnapshot): void {
    const since = snapshot.uptimeSince === undefined ? -Infinity : Date.parse(snapshot.uptimeSince);
    this.#uptime.restore(snapshot.uptime, this.#clock.wall().getTime() - since, this.#clock.now());
    if (snapshot.status === "healthy") return;
    this.consecutiveFailures = snapshot.consecutiveFailures;
    // Without checks nobody would ask again.
    this.#become(this.#checked ? snapshot.status : "degraded", "it was so before the restart");
    this.#hint = true;
  }

  /** Goes on from where another engine's record of the same server stands, and tells nobody: nothing has changed. */
  continue(former: HealthRecord): void {
    this.state = former.state;
    this.consecutiveFailures = former.consecutiveFailures;
    this.consecutiveSuccesses = former.consecutiveSuccesses;
    this.problem = former.problem;
    this.#lastCheck = former.#lastCheck;
    this.#responseTime = former.#responseTime;
    this.#good = former.#good;
    this.#slow = former.#slow;
    this.#hint = former.#hint;
    this.#rejections = former.#rejections;
    this.#notBefore = former.#notBefore;
    this.#uptime.continue(former.#uptime);
    if (former.#recoveredAt !== undefined) this.#startSlowly(former.#recoveredAt);
    // The rest begins anew, no longer than it was.
    this.#ejections = Math.max(0, former.#ejections - 1);
    if (this.state === "unhealthy" && !this.#checked) this.#eject();
    else this.#ejections = former.#ejections;
  }

  snapshot(): HealthSnapshot {
    return {
      status: this.state,
      ...(this.#lastCheck !== undefined && { lastCheck: this.#lastCheck }),
      ...(this.#responseTime !== undefined && { responseTime: Math.round(this.#responseTime * 10) / 10 }),
      uptime: this.#uptime.percentage(this.#clock.now()),
      consecutiveFailures: this.consecutiveFailures,
      consecutiveSuccesses: this.consecutiveSuccesses,
    };
  }

  /** As {@link snapshot}, with what a restart needs besides. */
  stored(): StoredSnapshot {
    const measured = this.#uptime.measured(this.#clock.now());
    return { ...this.snapshot(), uptimeSince: new Date(this.#clock.wall().getTime() - measured).toISOString() };
  }

  [Symbol.dispose](): void {
    this.#rest?.[Symbol.dispose]();
    this.#ramp?.[Symbol.dispose]();
  }

  #succeeded(result: "healthy" | "degraded"): void {
    this.consecutiveFailures = 0;
    this.#suspicion.clear();
    this.consecutiveSuccesses++;
    this.#good = result === "healthy" ? this.#good + 1 : 0;
    if (this.state === result) return;
    const { successes } = this.#settings;
    // Slow is known at once. Up again, or well again, takes several results that say so.
    const enough =
      this.#hint ||
      (result === "healthy"
        ? this.#good >= successes
        : this.state === "healthy" || this.consecutiveSuccesses >= successes);
    if (!enough || (this.state === "unhealthy" && this.#clock.now() < (this.#notBefore ?? 0))) return;
    this.#endTrials();
    this.#become(result, result === "degraded" ? this.problem : undefined);
  }

  /** @param of a check, which says whether once is enough, or a request. */
  #failed(reason: string | undefined, of: { certain: boolean } | { evidence: Evidence | undefined }): void {
    this.#hint = false;
    this.consecutiveSuccesses = 0;
    this.#good = 0;
    this.consecutiveFailures++;
    this.problem = reason;
    const check = "certain" in of;
    // Without checks nobody else finds out about a server that callers name.
    if (!check && of.evidence) {
      const { resource, principal, pinned } = of.evidence;
      this.#suspicion.failed({ resource, principal, pinned: pinned && this.#checked });
    }
    if (this.state === "unhealthy") return;
    const enough = this.consecutiveFailures >= this.#settings.failures || (check && of.certain);
    const whole = check || !of.evidence || this.#suspicion.general;
    if (enough && whole && (check || this.#hooks.mayEject())) {
      this.#become("unhealthy", reason, !check);
      if (!this.#checked) this.#eject();
      else if (!check) this.#distrustChecks();
    } else if (this.state === "healthy") this.#become("degraded", reason);
  }

  #become(state: HealthState, reason: string | undefined, ejected = false): void {
    const previous = this.state;
    if (previous === state) return;
    this.state = state;
    this.#hint = false;
    const now = this.#clock.now();
    if (state === "unhealthy") this.#uptime.down(now);
    else this.#uptime.up(now);
    if (previous === "unhealthy") this.#startSlowly(now);
    if (state === "healthy") this.problem = undefined;
    this.#hooks.changed(previous, reason, ejected);
  }

  #startSlowly(recoveredAt: number): void {
    const { slowStart } = this.#settings;
    this.#ramp?.[Symbol.dispose]();
    if (slowStart === 0) return;
    this.#recoveredAt = recoveredAt;
    const whole = () => {
      this.#recoveredAt = undefined;
      this.#hooks.changed(this.state, undefined);
    };
    const left = Math.max(0, recoveredAt + slowStart - this.#clock.now());
    this.#ramp = this.#clock.after(left, whole, { background: true });
  }

  /** Requests fail again soon after checks had brought it back: the next time they must wait, and longer each time. */
  #distrustChecks(): void {
    const now = this.#clock.now();
    const { ejection } = this.#settings;
    const again = this.#notBefore !== undefined && now - this.#notBefore < ejection * LONGEST_EJECTION;
    this.#ejections = again ? Math.min(this.#ejections + 1, LONGEST_EJECTION) : 0;
    this.#notBefore = now + ejection * this.#ejections;
  }

  #eject(): void {
    this.#ejections = Math.min(this.#ejections + 1, LONGEST_EJECTION);
    this.#rest?.[Symbol.dispose]();
    const rest = this.#settings.ejection * this.#ejections;
    this.#rest = this.#clock.after(rest, () => this.#offerTrial(), { background: true });
  }

  #offerTrial(): void {
    this.#endRest();
    // The one that still runs says whether there must be another.
    if (this.#trial === "running") return;
    this.#trial = "ready";
    this.#hooks.changed(this.state, undefined);
  }

  #endRest(): void {
    this.#rest?.[Symbol.dispose]();
    this.#rest = undefined;
  }

  /** It has recovered, or checks find out whether it has. */
  #endTrials(): void {
    this.#endRest();
    if (!this.#checked) this.#ejections = 0;
    if (this.#trial === "ready") this.#trial = "none";
  }
}
