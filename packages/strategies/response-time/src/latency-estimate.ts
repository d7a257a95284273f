/** After this many decay times an old value would have no weight left: nothing is known any more. */
const FORGOTTEN_AFTER = 6;

/**
 * Answers until a server is known. The first ones say more about opening a connection than about the server; taken as
 * a peak, one of them could leave a new server idle for seconds.
 */
const FIRST_ANSWERS = 3;

/** How much of a failure's penalty one answer leaves. */
const PENALTY_LEFT = 0.1;

/**
 * How much of what was known one answer leaves at most. Without this bound a single pause of this process, which looks
 * like a peak of every busy server, would outweigh thousands of good answers for seconds.
 */
const WEIGHT_LEFT = 0.98;

/**
 * How long one server is expected to take, in milliseconds: a moving average of its answers that follows a rise at
 * once and a fall slowly, or the penalty of its failures while that is more.
 *
 * The two are kept apart because a penalty is a guess and not a measurement: a few answers take it away, and what was
 * measured before the failure counts again.
 */
export class LatencyEstimate {
  readonly #decay: number;
  #average = 0;
  #penalty = 0;
  #seenAt = -Infinity;
  #firstAnswersLeft = FIRST_ANSWERS;

  /** @param decay milliseconds in which lower answers take away 63 % of an average; fifty answers do as well. */
  constructor(decay: number) {
    this.#decay = decay;
  }

  /** Milliseconds; means nothing for a server that is {@link unknown}. */
  get value(): number {
    return Math.max(this.#average, this.#penalty);
  }

  /** When something was last learned; `-Infinity` for never. */
  get seenAt(): number {
    return this.#seenAt;
  }

  /** Too little was learned yet, or nothing for so long that the server counts as new. */
  unknown(now: number): boolean {
    return this.#firstAnswersLeft > 0 || this.#forgotten(now);
  }

  answered(latency: number, now: number): void {
    if (this.#forgotten(now)) this.#forget();
    const weight = Math.min(WEIGHT_LEFT, Math.exp((this.#seenAt - now) / this.#decay));
    const replaces = latency >= this.#average || this.#firstAnswersLeft > 0;
    this.#average = replaces ? latency : latency + (this.#average - latency) * weight;
    this.#penalty *= PENALTY_LEFT * weight;
    this.#firstAnswersLeft = Math.max(0, this.#firstAnswersLeft - 1);
    this.#seenAt = now;
  }

  /** @param latency what the failure counts as. */
  failed(latency: number, now: number): void {
    if (this.#forgotten(now)) this.#forget();
    this.#penalty = Math.max(this.#penalty, latency);
    this.#firstAnswersLeft = 0;
    this.#seenAt = now;
  }

  /**
   * An answer would have taken at least this long. That can raise the estimate and never lower it.
   * @param expected the estimate of a server that is unknown.
   */
  atLeast(latency: number, expected: number, now: number): void {
    if (latency <= (this.unknown(now) ? expected : this.value)) return;
    if (this.#forgotten(now)) this.#forget();
    this.#average = latency;
    this.#firstAnswersLeft = 0;
    this.#seenAt = now;
  }

  #forgotten(now: number): boolean {
    return now - this.#seenAt > FORGOTTEN_AFTER * this.#decay;
  }

  #forget(): void {
    this.#average = 0;
    this.#penalty = 0;
    this.#firstAnswersLeft = FIRST_ANSWERS;
  }
}
