/** What proves to a server who is asking. */
export interface Authorization {
  /** The value of the `Authorization` header. */
  header(): Promise<string | undefined>;
  /** The server refused this value. True when there may be a better one. */
  refused(header: string | undefined): boolean;
}

/** A token that somebody gave, or none. */
export function bearer(token: string | undefined): Authorization {
  const header = token === undefined ? undefined : `Bearer ${token}`;
  return { header: () => Promise.resolve(header), refused: () => false };
}
