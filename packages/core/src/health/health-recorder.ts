import type { Clock } from "../contracts/clock.ts";
import type { Log } from "../contracts/log.ts";
import type { ProfileStore, StoredSnapshot } from "../contracts/profile-store.ts";
import { describeError } from "../errors/davpool-error.ts";
import type { Counters } from "../pool/counters.ts";

/** Milliseconds between two savings. */
const INTERVAL = 30_000;

export interface HealthRecorderParts {
  readonly store: ProfileStore;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
  readonly snapshots: () => Readonly<Record<string, StoredSnapshot>>;
}

/**
 * Saves health and counters from time to time and when the pool closes. Losing them does no harm, so a store that
 * cannot be written is reported once and otherwise left alone.
 */
export class HealthRecorder {
  readonly #parts: HealthRecorderParts;
  #timer: Disposable | undefined;
  #saving: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | undefined;
  #changed = false;
  #complained = false;
  /** Servers that left since the last saving. */
  readonly #forgotten = new Set<string>();

  constructor(parts: HealthRecorderParts) {
    this.#parts = parts;
  }

  /** @param after the last saving of a recorder whose place this one takes. */
  start(after?: Promise<void>): void {
    if (after) this.#saving = after;
    const run = () => {
      void this.save();
      this.start();
    };
    this.#timer = this.#parts.clock.after(INTERVAL, run, { background: true });
  }

  /** Some server's state changed. */
  noteChange(): void {
    this.#changed = true;
  }

  /** A server left: what is stored about it means nothing any more. */
  forget(serverId: string): void {
    this.#forgotten.add(serverId);
    this.#changed = true;
  }

  /** Saves what is new. Never rejects. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#save());
    return this.#saving;
  }

  /** Saves for the last time; one that never started has nothing to save. */
  stop(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#stopped ??= this.#timer ? this.save() : Promise.resolve();
    return this.#stopped;
  }

  async #save(): Promise<void> {
    const { store, counters, log, snapshots } = this.#parts;
    if (!this.#changed && !counters.unsaved) return;
    this.#changed = false;
    const forgotten = [...this.#forgotten];
    try {
      let commit: (() => void) | undefined;
      await store.updateHealth((stored) => {
        const added = counters.addTo(stored.counters);
        commit = added.commit;
        const known = Object.entries(stored.servers).filter(([serverId]) => !forgotten.includes(serverId));
        return { servers: { ...Object.fromEntries(known), ...snapshots() }, counters: added.counters };
      });
      commit?.();
      for (const serverId of forgotten) this.#forgotten.delete(serverId);
      this.#complained = false;
    } catch (error) {
      this.#changed = true;
      if (!this.#complained) log.warn(`Health and counters cannot be saved: ${describeError(error)}`);
      this.#complained = true;
    }
  }
}
