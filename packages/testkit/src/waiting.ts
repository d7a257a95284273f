/** Lets a test wait for something to become true instead of sleeping and looking again. */
export class Changes {
  readonly #waiting = new Set<() => boolean>();

  /** Something may have changed: looks again on behalf of everyone who waits. */
  notify(): void {
    for (const settled of this.#waiting) {
      if (settled()) this.#waiting.delete(settled);
    }
  }

  /** Resolves with the first defined value that `look` returns, now or after a later {@link notify}. */
  until<T>(look: () => T | undefined): Promise<T> {
    return new Promise((resolve) => {
      const settled = (): boolean => {
        const found = look();
        if (found === undefined) return false;
        resolve(found);
        return true;
      };
      if (!settled()) this.#waiting.add(settled);
    });
  }
}
