/**
 * Addresses of one pool's resources as clients see them: the pool's name before the scheme, as in
 * `notes+file:///todo.txt`. What clients send back leads to the pool and to the server's own address.
 */
export interface Addresses {
  shown(uri: string): string;
  /** Undefined for an address of another pool. */
  original(shown: string): string | undefined;
}

/** What this server itself shows has addresses that begin so. */
const OWN = "davpool://";

/** For a pool that is alone: addresses stay as they are. */
export const unchanged: Addresses = {
  shown: (uri) => uri,
  original: (shown) => (shown.startsWith(OWN) ? undefined : shown),
};

/** @param schemes those that are taken by now; one is added. */
export function prefixed(pool: string, schemes: Set<string>): Addresses {
  // Schemes have no capitals, no underscores, and no digit in front (RFC 3986 §3.1).
  const plain = pool
    .toLowerCase()
    .replaceAll("_", "-")
    .replace(/^(?=\d)/, "p");
  let scheme = plain;
  for (let again = 2; schemes.has(scheme); again++) scheme = `${plain}-${again}`;
  schemes.add(scheme);
  const prefix = `${scheme}+`;
  return {
    shown: (uri) => prefix + uri,
    original: (shown) =>
      shown.slice(0, prefix.length).toLowerCase() === prefix ? shown.slice(prefix.length) : undefined,
  };
}
