import type { ProfileStore, StoredHealth, StoredState } from "@davpool/core";

const NO_HEALTH: StoredHealth = {
  servers: {},
  counters: { total: 0, successful: 0, failed: 0, failoverCount: 0, responseTimeSum: 0 },
};

/**
 * Keeps the state of one pool for as long as the process lives. Nothing is written anywhere, so secrets need no key,
 * and nobody else can change the state, so there is nothing to watch.
 */
export class MemoryStore implements ProfileStore {
  #state: StoredState = { activeServerId: undefined, servers: [] };
  #health: StoredHealth = NO_HEALTH;

  load(): Promise<StoredState> {
    return Promise.resolve(this.#state);
  }

  // Nothing is awaited between reading and writing, so two updates cannot mix; a change that throws changes nothing.
  async update(change: (state: StoredState) => StoredState): Promise<StoredState> {
    this.#state = structuredClone(change(this.#state));
    return this.#state;
  }

  loadHealth(): Promise<StoredHealth> {
    return Promise.resolve(this.#health);
  }

  async updateHealth(change: (state: StoredHealth) => StoredHealth): Promise<void> {
    this.#health = structuredClone(change(this.#health));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
