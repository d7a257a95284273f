/** What a benchmark is given besides its options. */
export interface Surroundings {
  /** Aborts when the user ends the program; whatever waits must heed it, so that no child process is left behind. */
  readonly signal: AbortSignal;
  /** One line for whoever waits. */
  readonly progress: (text: string) => void;
}

export interface Report {
  /** Markdown. */
  readonly text: string;
  /** Each promise that was not kept, with the figures that show it. */
  readonly broken: readonly string[];
}

/** An option: a number. */
export interface Option {
  readonly default: number;
  readonly meaning: string;
}

export interface Benchmark<Name extends string = string> {
  readonly summary: string;
  readonly options: Readonly<Record<Name, Option>>;
  run(values: Readonly<Record<Name, number>>, surroundings: Surroundings): Promise<Report>;
}

/** Infers the names of a benchmark's options, so that `run` gets exactly these. */
export function defineBenchmark<const Name extends string>(benchmark: Benchmark<Name>): Benchmark<Name> {
  return benchmark;
}

/** Collects the promises that were not kept. */
export class Promises {
  readonly broken: string[] = [];

  /** @param figures what was found, for the list of broken promises. */
  expect(kept: boolean, promise: string, figures: string): void {
    if (!kept) this.broken.push(`${promise} (${figures})`);
  }
}
