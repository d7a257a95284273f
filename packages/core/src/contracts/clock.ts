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
   * Runs once after `ms` milliseconds unless disposed before.
   * @param options `background`: work nobody waits for, such as a health check; it does not keep a process alive.
   * @returns disposing it cancels the run; disposing twice is harmless.
   */
  after(ms: number, run: () => void, options?: { readonly background: boolean }): Disposable;
}
