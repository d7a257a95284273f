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
 * The most of `all` that one principal may hold: something is always left for others, except where there is only one.
 * Neither the number of a principal's calls nor their length can then keep others out.
 */
export function fairShare(all: number): number {
  return Math.max(1, all - Math.ceil(all / 4));
}
