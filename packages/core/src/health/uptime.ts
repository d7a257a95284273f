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

  /** Percentage, 0 to 100, with two decimals. */
  percentage(now: number): number {
    const from = Math.max(this.#start, now - WINDOW);
    if (now <= from) return this.#downSince === undefined ? 100 : 0;
    let down = this.#downSince === undefined ? 0 : now - Math.max(from, this.#downSince);
    for (const spell of this.#spells) down += Math.max(0, spell.to - Math.max(from, spell.from));
    return Math.round(10_000 * (1 - down / (now - from))) / 100;
  }
}
