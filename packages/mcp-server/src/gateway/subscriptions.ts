/**
 * Who wants to hear of which resource: sessions of clients, or any number of streams without one. Where several of them
 * share one session with the server, only the last one to leave ends the subscription there.
 */
export class Subscriptions {
  readonly #listeners = new Map<string, Map<string | symbol, number>>();

  add(pool: string, uri: string, who: string | symbol): void {
    const key = keyOf(pool, uri);
    const listeners = this.#listeners.get(key) ?? new Map<string | symbol, number>();
    this.#listeners.set(key, listeners);
    // A session that says it twice still says it once.
    listeners.set(who, typeof who === "symbol" ? (listeners.get(who) ?? 0) + 1 : 1);
  }

  /** @returns whether nobody is left. */
  remove(pool: string, uri: string, who: string | symbol): boolean {
    const key = keyOf(pool, uri);
    const listeners = this.#listeners.get(key);
    const left = (listeners?.get(who) ?? 1) - 1;
    if (left > 0) listeners?.set(who, left);
    else listeners?.delete(who);
    if (listeners && listeners.size > 0) return false;
    this.#listeners.delete(key);
    return true;
  }

  /** What they want to hear of, of this pool. */
  of(pool: string, who: string | symbol): readonly string[] {
    return [...this.#listeners].flatMap(([key, listeners]) => {
      const [name, uri = ""] = JSON.parse(key) as string[];
      return name === pool && listeners.has(who) ? uri : [];
    });
  }

  /** A session has ended. */
  forget(session: string): void {
    for (const [key, listeners] of this.#listeners) {
      listeners.delete(session);
      if (listeners.size === 0) this.#listeners.delete(key);
    }
  }
}

function keyOf(pool: string, uri: string): string {
  return JSON.stringify([pool, uri]);
}
