import leven from "leven";

/** "Did you mean …?" for the nearest of `known`, if one is near enough to be a slip of the finger. */
export function suggestion(written: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let distance = Math.max(2, Math.floor(written.length / 3)) + 1;
  for (const candidate of known) {
    // Of so short a word nothing is left when a letter of it is wrong.
    if (written.length < 2 || candidate.length < 2) continue;
    const apart = leven(written.toLowerCase(), candidate.toLowerCase(), { maxDistance: distance });
    // Where most letters differ it is another word.
    if (apart < distance && 2 * apart <= Math.max(written.length, candidate.length))
      [best, distance] = [candidate, apart];
  }
  return best === undefined ? undefined : `Did you mean "${best}"?`;
}
