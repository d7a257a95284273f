/** JSON in which the order of keys does not matter: what is equal has the same text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, held: unknown) => inOrder(held)) ?? "undefined";
}

/** How an answer travelled, and how long it is good for: replicas may differ in it that say the same. */
const TRAVEL = new Set(["_meta", "resultType", "ttlMs", "cacheScope"]);

/**
 * What a result says, as text: equal for replicas that say the same. `_meta` does not count, wherever the protocol has a
 * place for it; in what the tool itself made (`structuredContent`) every key does.
 */
export function meaningOf(result: Readonly<Record<string, unknown>>): string {
  const { structuredContent, ...rest } = result;
  const kept = Object.entries(rest).filter(([field]) => !TRAVEL.has(field));
  const said = JSON.stringify(Object.fromEntries(kept), (key, held: unknown) =>
    key === "_meta" ? undefined : inOrder(held),
  );
  return structuredContent === undefined ? said : `${said}${canonicalJson(structuredContent)}`;
}

function inOrder(held: unknown): unknown {
  if (typeof held !== "object" || held === null || Array.isArray(held)) return held;
  return Object.fromEntries(Object.entries(held).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
