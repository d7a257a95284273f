const WINDOW = 24 * 3_600_000;

/** Measures which share of the last 24 hours, or since start if shorter, was not spent down. */
export class Uptime {
  #start: number;
  /** Ended spells of being down, oldest first. */
  readonly #spells: { readonly from: number; readonly to: number }[] = [];
  #downSince: number | undefined;

  constructor(now: number) {
    this.#start = now;
  }

  down(now: number): void {
    this.#downSince ??= now;
  }

  up(now: number): void {
    if (this.#downSince === undefined) return;
    this.#spells.push({ from: this.#downSince, to: now });
    this.#downSince = undefined;
    while (this.#spells[0] && this.#spells[0].to < now - WINDOW) this.#spells.shift();
  }

  /** Goes on from where another measurement stands, which goes its own way from then on. */
  continue(former: Uptime): void {
    this.#start = former.#start;
    this.#spells.push(...former.#spells);
    this.#downSince = former.#downSince;
  }

  /** Milliseconds that have been measured, 24 hours at most. */
  measured(now: number): number {
    return Math.min(WINDOW, now - this.#start);
  }

  /**
   * Goes on from what was measured before a restart. When the server was down is not known any more; it counts as the
   * beginning of that time.
   * @param percentage of so many milliseconds.
   */
  restore(percentage: number, measured: number, now: number): void {
    const length = Math.min(WINDOW, Math.max(0, measured));
    this.#start = now - length;
    const down = (length * (100 - Math.min(100, percentage))) / 100;
    if (down > 0) this.#spells.push({ from: this.#start, to: this.#start + down });
  }

  /** Percentage, 0 to 100, with two decimals. */
  percentage(now: number): number {
    const from = Math.max(this.#start, now - WINDOW);
    if (now <= from) return this.#downSince === undefined ? 100 : 0;
    let down = this.#downSince === undefined ? 0 : now - Math.max(from, this.#downSince);
    for (const spell of this.#spells) down += Math.max(0, spell.to - Math.max(from, spell.from));
    return Math.round(10_000 * (1 - down / (now - from))) / 100;
  }
}
