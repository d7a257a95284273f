import type { Variable } from "./settings.ts";

/** Which traces are kept. */
export interface Sampling {
  /** Share of the traces that begin here, 0 to 1. */
  readonly ratio: number;
  /** A caller's decision about its own trace holds for our part of it. */
  readonly parentBased: boolean;
}

const SAMPLERS: Readonly<Record<string, Sampling | "with-ratio" | "with-ratio-parent">> = {
  always_on: { ratio: 1, parentBased: false },
  always_off: { ratio: 0, parentBased: false },
  traceidratio: "with-ratio",
  parentbased_always_on: { ratio: 1, parentBased: true },
  parentbased_always_off: { ratio: 0, parentBased: true },
  parentbased_traceidratio: "with-ratio-parent",
};

/** The file's share, else what `OTEL_TRACES_SAMPLER` names, else every trace. */
export function samplingOf(written: number | undefined, variable: Variable, warnings: string[]): Sampling {
  if (written !== undefined) return { ratio: written, parentBased: true };
  const name = variable("OTEL_TRACES_SAMPLER") ?? "parentbased_always_on";
  const known = SAMPLERS[name];
  if (known === undefined) {
    const names = Object.keys(SAMPLERS).join(", ");
    warnings.push(`OTEL_TRACES_SAMPLER names "${name}", so every trace is kept; known: ${names}.`);
    return { ratio: 1, parentBased: true };
  }
  if (typeof known === "object") return known;
  return { ratio: ratioOf(variable, warnings), parentBased: known === "with-ratio-parent" };
}

function ratioOf(variable: Variable, warnings: string[]): number {
  const value = variable("OTEL_TRACES_SAMPLER_ARG") ?? "1";
  const ratio = Number(value);
  if (ratio >= 0 && ratio <= 1) return ratio;
  warnings.push(`OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1; got "${value}", so every trace is kept.`);
  return 1;
}
