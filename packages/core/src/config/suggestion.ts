import leven from "leven";

/** "Did you mean …?" for the nearest of `known`, if one is near enough to be a slip of the finger. */
export function suggestion(written: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let distance = Math.max(2, Math.floor(written.length / 3)) + 1;
  for (const candidate of known) {
    const apart = leven(written.toLowerCase(), candidate.toLowerCase(), { maxDistance: distance });
    if (apart < distance) [best, distance] = [candidate, apart];
  }
  return best === undefined ? undefined : `Did you mean "${best}"?`;
}
