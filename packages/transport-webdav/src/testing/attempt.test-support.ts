import type { Attempt, Failure } from "@davpool/core";

/** An attempt that writes down what a connection tells the engine. */
export class ObservedAttempt implements Attempt {
  readonly serverId = "a";
  readonly ordinal = 1;
  readonly caller = {};
  readonly #abort = new AbortController();
  wasSent = 0;
  /** Bytes of progress. */
  bytes = 0;
  /** Bodies that have not been let go of. */
  held = 0;
  /** Listeners on the signal. */
  listeners = 0;
  readonly failures: Failure[] = [];
  readonly #released = Promise.withResolvers<void>();
  /** Resolves when the first body is let go of. */
  readonly released = this.#released.promise;
  readonly signal = this.#counted(this.#abort.signal);

  /** Whether a body that breaks off may be resumed, and how often it may. */
  streamed = false;
  resumes = 0;

  resume(): boolean {
    return this.resumes-- > 0;
  }

  sent(): void {
    this.wasSent++;
  }

  progress(bytes: number): void {
    this.bytes += bytes;
  }

  hold(): (failure?: Failure) => void {
    this.held++;
    let held = true;
    return (failure) => {
      if (!held) return;
      held = false;
      this.held--;
      if (failure) this.failures.push(failure);
      this.#released.resolve();
    };
  }

  abort(reason: unknown = new Error("enough")): void {
    this.#abort.abort(reason);
  }

  #counted(signal: AbortSignal): AbortSignal {
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    return Object.assign(signal, {
      addEventListener: (...parameters: Parameters<typeof add>) => {
        this.listeners++;
        add(...parameters);
      },
      removeEventListener: (...parameters: Parameters<typeof remove>) => {
        this.listeners--;
        remove(...parameters);
      },
    });
  }
}
