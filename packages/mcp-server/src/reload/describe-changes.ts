import type { AppliedChanges } from "./reloader.ts";

export function isNothing(changes: AppliedChanges): boolean {
  return Object.values(changes).every((names: readonly string[]) => names.length === 0);
}

/** In one line, for the log: `pool files has new settings, pools a and b have other servers`. */
export function describeChanges({ added, removed, replaced, updated, sections }: AppliedChanges): string {
  return [
    told("pool", added, "is new", "are new"),
    told("pool", removed, "is gone", "are gone"),
    told("pool", replaced, "has other settings", "have other settings"),
    told("pool", updated, "has other servers", "have other servers"),
    told("section", sections, "differs", "differ"),
  ]
    .filter((part) => part !== undefined)
    .join("; ");
}

function told(noun: string, names: readonly string[], one: string, several: string): string | undefined {
  if (names.length === 0) return undefined;
  return names.length === 1 ? `${noun} ${names[0]} ${one}` : `${noun}s ${names.join(", ")} ${several}`;
}
