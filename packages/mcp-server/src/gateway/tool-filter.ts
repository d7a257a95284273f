import type { ToolFilter } from "./section.ts";

/** Decides which tools of a pool clients see, by the names that the servers give them. */
export function filterOf({ allow, deny }: ToolFilter): (name: string) => boolean {
  const allowed = allow && matcher(allow);
  const denied = deny && matcher(deny);
  return (name) => (allowed?.(name) ?? true) && !(denied?.(name) ?? false);
}

/** `*` stands for any text. */
function matcher(patterns: readonly string[]): (name: string) => boolean {
  const sources = patterns.map((pattern) =>
    pattern.replaceAll(/[\\^$.+?()[\]{}|]/g, String.raw`\$&`).replaceAll("*", ".*"),
  );
  const expression = new RegExp(`^(?:${sources.join("|")})$`, "s");
  return (name) => expression.test(name);
}
