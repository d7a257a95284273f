import type { Answer, CallOptions } from "@davpool/core";
import { UnusableAnswerError } from "../errors.ts";
import type { McpRequest, McpResponse } from "../wire.ts";
import { LISTS, type ListKind, type Listed } from "./catalog.ts";

/** JSON-RPC code of a server that has no such list. */
const METHOD_NOT_FOUND = -32_601;
/** A list with more entries than this is a mistake, or worse. */
const MOST_ENTRIES = 10_000;

/** As much of a pool as it takes. */
interface Executes {
  execute(request: McpRequest, options: CallOptions): Promise<Answer<McpResponse>>;
}

/**
 * All pages of one server's list. A server that has no such list has an empty one. Of one whose pages do not end, those
 * that came are taken.
 * @param warn told in one sentence what keeps the list from being whole.
 * @param deadline milliseconds for each page; default: the pool's.
 * @throws UnusableAnswerError, and what the pool cannot ask the server for.
 */
export async function loadList(
  pool: Executes,
  serverId: string,
  kind: ListKind,
  warn: (problem: string) => void,
  deadline?: number,
): Promise<readonly Listed[]> {
  const entries: Listed[] = [];
  const cursors = new Set<unknown>();
  let cursor: unknown;
  do {
    const { value } = await pool.execute(
      { method: LISTS[kind].method, ...(cursor !== undefined && { params: { cursor } }) },
      { serverId, ...(deadline !== undefined && { deadline }) },
    );
    if (value.error?.code === METHOD_NOT_FOUND) return [];
    if (!value.result)
      throw new UnusableAnswerError(
        `${LISTS[kind].method} was answered with ${value.error ? `error ${value.error.code}: ${value.error.message}` : value.refusal.message}`,
      );
    const page = value.result[kind];
    if (!Array.isArray(page))
      throw new UnusableAnswerError(`its answer to ${LISTS[kind].method} has no list "${kind}"`);
    // An empty page that leads on leads nowhere.
    if (page.length === 0) break;
    for (const entry of page as unknown[])
      if (typeof entry === "object" && entry !== null) entries.push(entry as Listed);
    cursor = value.result["nextCursor"];
    const problem = cursors.has(cursor)
      ? "names a page for the second time"
      : entries.length > MOST_ENTRIES && cursor !== undefined && `has more than ${MOST_ENTRIES} entries`;
    if (typeof problem === "string") {
      warn(`The list of ${kind} of server ${JSON.stringify(serverId)} ${problem}; what came until then is used.`);
      return entries;
    }
    cursors.add(cursor);
  } while (cursor !== undefined);
  return entries;
}
