import type { Clock } from "../contracts/clock.ts";
import type { HealthProbe, ProbeResult } from "../contracts/health-probe.ts";
import type { Wire } from "../contracts/wire.ts";
import type { HealthSettings } from "../config/resolve-config.ts";
import type { Server } from "../pool/server.ts";
import { describeError, isDavpoolError } from "../errors/davpool-error.ts";

export interface HealthMonitorHooks<W extends Wire> {
  /** A check that had waited for a slot gave it back. */
  slotFreed(): void;
  /** Every result, before it is counted. */
  probed(server: Server<W>, result: ProbeResult): void;
  /**
   * The probe gave what is no result.
   * @param what it gave, as a part of a sentence.
   */
  misreported(what: string): void;
}

/** Intervals vary by this share, so that the checks of many processes do not fall together. */
const JITTER = 0.1;
/** Times that the pause between such checks is doubled, up to the server's own interval. */
const MOST_DOUBLINGS = 20;

/**
 * Checks servers from time to time: at their own interval while they are well, more often while they are not, and
 * soon after a request failed. Failing requests never bring checks closer together than the recovery interval.
 */
export class HealthMonitor<W extends Wire> implements Disposable {
  readonly #settings: HealthSettings;
  readonly #probe: HealthProbe;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #hooks: HealthMonitorHooks<W>;
  readonly #watched = new Map<Server<W>, Watched>();
  /** Checks that may begin at once; refilled with time, up to those of one second. */
  #allowance: number;
  #refilledAt: number;

  constructor(
    settings: HealthSettings,
    probe: HealthProbe,
    clock: Clock,
    random: () => number,
    hooks: HealthMonitorHooks<W>,
  ) {
    this.#settings = settings;
    this.#probe = probe;
    this.#clock = clock;
    this.#random = random;
    this.#hooks = hooks;
    this.#allowance = this.#most;
    this.#refilledAt = clock.now();
  }

  get #most(): number {
    return Math.max(1, this.#settings.checksPerSecond);
  }

  /** Starts to check a server, at once. Calling it again, after its profile changed, brings the next check forward. */
  watch(server: Server<W>): void {
    const known = this.#watched.get(server);
    if (!this.#settings.enabled || server.profile.healthCheckInterval === 0 || !server.enabled) {
      this.forget(server);
      return;
    }
    if (known) {
      this.hurry(server);
      return;
    }
    const watched: Watched = {
      timer: undefined,
      due: 0,
      last: -Infinity,
      abort: undefined,
      unchanged: 0,
      queued: false,
    };
    this.#watched.set(server, watched);
    this.#schedule(server, watched, 0);
  }

  forget(server: Server<W>): void {
    const watched = this.#watched.get(server);
    this.#watched.delete(server);
    watched?.timer?.[Symbol.dispose]();
    watched?.abort?.abort();
  }

  /** A request to this server failed: look soon. */
  hurry(server: Server<W>): void {
    const watched = this.#watched.get(server);
    if (!watched || watched.abort) return;
    const soon = Math.max(0, watched.last + this.#settings.recoveryInterval - this.#clock.now());
    if (this.#clock.now() + soon < watched.due) this.#schedule(server, watched, soon);
  }

  [Symbol.dispose](): void {
    for (const server of this.#watched.keys()) this.forget(server);
  }

  #schedule(server: Server<W>, watched: Watched, delay: number): void {
    watched.timer?.[Symbol.dispose]();
    watched.due = this.#clock.now() + delay;
    watched.timer = this.#clock.after(delay, () => void this.#check(server, watched), { background: true });
  }

  /** Milliseconds until the pool may begin one more check; 0 takes it. */
  #wait(): number {
    const now = this.#clock.now();
    const { checksPerSecond } = this.#settings;
    this.#allowance = Math.min(this.#most, this.#allowance + ((now - this.#refilledAt) * checksPerSecond) / 1_000);
    this.#refilledAt = now;
    if (this.#allowance < 1) return Math.ceil(((1 - this.#allowance) * 1_000) / checksPerSecond);
    this.#allowance--;
    return 0;
  }

  /** What a probe says is looked at: those who count it rely on its form. */
  #read(given: unknown, watched: Watched): ProbeResult {
    const what = misreport(given);
    if (what === undefined) return given as ProbeResult;
    this.#hooks.misreported(what);
    const cause = new Error(`its probe gave ${what}, which says nothing`);
    return { state: "failed", latency: this.#clock.now() - watched.last, cause };
  }

  async #check(server: Server<W>, watched: Watched): Promise<void> {
    if (!server.free) {
      if (watched.queued) return;
      // Of a server that is well, the requests that keep it busy say more than an answer that would wait behind them.
      if (server.health === "healthy") {
        this.#schedule(server, watched, this.#settings.recoveryInterval);
        return;
      }
      // Else the check has the next slot, or a server that is always busy would never be found well again.
      watched.queued = true;
      server.onceFree(
        async () => {
          watched.queued = false;
          if (this.#watched.get(server) === watched && !watched.abort) await this.#run(server, watched);
        },
        () => this.#hooks.slotFreed(),
      );
      return;
    }
    await this.#run(server, watched);
  }

  async #run(server: Server<W>, watched: Watched): Promise<void> {
    watched.timer?.[Symbol.dispose]();
    const wait = this.#wait();
    if (wait > 0) {
      this.#schedule(server, watched, wait);
      return;
    }
    const abort = new AbortController();
    watched.abort = abort;
    watched.last = this.#clock.now();
    const { timeout } = this.#settings;
    const giveUp = () => abort.abort(new Error(`no answer to the health check within ${timeout} ms`));
    const limit = this.#clock.after(timeout, giveUp, { background: true });
    let result: ProbeResult;
    try {
      // A probe that overlooks its signal must not end the checks.
      const given: unknown = await Promise.race([
        this.#probe.probe(
          { profile: server.profile, clock: this.#clock, ping: (signal) => server.ping(signal) },
          abort.signal,
        ),
        aborted(abort.signal),
      ]);
      result = this.#read(given, watched);
    } catch (cause) {
      result = { state: "failed", latency: this.#clock.now() - watched.last, cause };
    }
    limit[Symbol.dispose]();
    watched.abort = undefined;
    if (this.#watched.get(server) !== watched) return;
    this.#hooks.probed(server, result);
    const reason = result.cause === undefined ? undefined : describeError(result.cause);
    const refused = isDavpoolError(result.cause) && result.cause.code === "CREDENTIALS_REFUSED";
    server.record.check(result.state, result.latency, reason, refused);
    const interval = server.profile.healthCheckInterval * 1_000;
    const { recoveryInterval } = this.#settings;
    // What stays as it is, such as refused credentials, is looked at ever more seldom.
    watched.unchanged = result.state === "degraded" || refused ? watched.unchanged + 1 : 0;
    const soon = recoveryInterval * 2 ** Math.min(Math.max(0, watched.unchanged - 1), MOST_DOUBLINGS);
    const delay = server.health === "healthy" ? interval : Math.min(interval, soon);
    this.#schedule(server, watched, delay * (1 - JITTER + 2 * JITTER * this.#random()));
  }
}

/** What a probe gave where it gave no result; undefined where it did. */
function misreport(given: unknown): string | undefined {
  if (given === null || typeof given !== "object") return given === null ? "null" : typeof given;
  const { state, latency } = given as { readonly state?: unknown; readonly latency?: unknown };
  if (state !== "healthy" && state !== "degraded" && state !== "failed")
    return `a state of ${typeof state === "string" ? JSON.stringify(state.slice(0, 50)) : typeof state}`;
  if (typeof latency !== "number" || !(latency >= 0) || latency === Infinity)
    return `a latency of ${typeof latency === "number" ? latency : typeof latency}`;
  return undefined;
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the reason is ours, and an error
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

interface Watched {
  /** Checks in a row that have found what only an operator can put right. */
  unchanged: number;
  /** It waits for a slot. */
  queued: boolean;
  timer: Disposable | undefined;
  /** When the next check is due. */
  due: number;
  /** When the last one began. */
  last: number;
  /** Set while a check runs. */
  abort: AbortController | undefined;
}
