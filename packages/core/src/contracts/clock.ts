/**
 * The only source of time in davpool. The engine, plugins and tests all take it from the container, so that tests
 * move time by hand instead of sleeping.
 */
export interface Clock {
  /** Monotonic milliseconds from an arbitrary origin. For durations and deadlines. */
  now(): number;
  /** The calendar's time. For timestamps shown to people, never for durations. */
  wall(): Date;
  /**
   * Runs once after `ms` milliseconds unless disposed before. Does not keep a process alive.
   * @returns disposing it cancels the run; disposing twice is harmless.
   */
  after(ms: number, run: () => void): Disposable;
}
