import { Type, type TSchema, type TUnsafe } from "typebox";

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const PATTERN = "^(\\d+(?:\\.\\d+)?)(ms|s|m|h|d)$";
const parse = new RegExp(PATTERN);

/** A length of time as people write it: milliseconds, or a number with a unit such as `"30s"` or `"1.5h"`. */
export type Duration = number | `${number}${keyof typeof UNITS}`;

/** Schema of a {@link Duration}, for the options of plugins. */
export function DurationSchema(
  options: { readonly default?: Duration; readonly description?: string } = {},
): TUnsafe<Duration> {
  const either: TSchema = Type.Union([Type.Number({ minimum: 0 }), Type.String({ pattern: PATTERN })]);
  return Type.Unsafe<Duration>({
    ...either,
    expects: 'a duration: a number of milliseconds, or text such as "500ms", "30s", "5m", "1h"',
    ...options,
  });
}

/** Milliseconds of a duration. @throws RangeError for text that is none. */
export function milliseconds(duration: Duration): number {
  if (typeof duration === "number") return duration;
  const [, amount, unit] = parse.exec(duration) ?? [];
  if (amount === undefined) throw new RangeError(`"${duration}" is not a duration`);
  return Number(amount) * UNITS[unit as keyof typeof UNITS];
}
