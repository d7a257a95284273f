/** How many of something each principal holds. Callers without a principal are not told apart, and not limited. */
export class Holdings {
  readonly #held = new Map<string, number>();

  take(principal: string | undefined): void {
    if (principal !== undefined) this.#held.set(principal, this.of(principal) + 1);
  }

  giveBack(principal: string | undefined): void {
    if (principal === undefined) return;
    const left = this.of(principal) - 1;
    if (left > 0) this.#held.set(principal, left);
    else this.#held.delete(principal);
  }

  of(principal: string | undefined): number {
    return principal === undefined ? 0 : (this.#held.get(principal) ?? 0);
  }
}

/**
 * The most of `all` that one principal may hold: of four or more, a quarter is left for others, so that neither the number
 * of a principal's calls nor their length can keep everybody else out. Of fewer nothing can be set aside.
 */
export function fairShare(all: number): number {
  return all - Math.floor(all / 4);
}
