import type { IncomingHttpHeaders } from "node:http";
import type { FaultKind } from "./faults/fault.ts";
import { Changes } from "./waiting.ts";

/** A request as the server saw it. The entry is made when the headers have been read, and completed as it goes on. */
export interface LoggedRequest {
  readonly method: string;
  /**
   * Decoded and relative to the server's base, starting with `/` (`/with space.txt`); a trailing slash is kept. A
   * target outside the base is logged with its whole path, an unacceptable one (`..`, bad escapes) undecoded.
   */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders;
  /** Which of the server's connections brought it, counted from 1 in the order in which they were opened. */
  readonly connection: number;
  /** The status that was sent, or undefined while (or for ever if) there is none. */
  readonly status: number | undefined;
  /** Bytes of the request's body that have been received. */
  readonly bodyBytes: number;
  /** Kinds of the faults that this request met; empty when it was served as it should be. */
  readonly faults: readonly FaultKind[];
}

/** What becomes known of a request after its headers. */
export type Progress = Partial<Pick<LoggedRequest, "status" | "bodyBytes" | "faults">>;

/**
 * Chooses requests: by method, by path (exact, or with a trailing `*` by prefix), or by a function. A function is
 * asked again when more becomes known of a request, so that `(request) => request.status !== undefined` waits for
 * its answer.
 */
export type RequestFilter =
  | { readonly method?: string; readonly path?: string }
  | ((request: LoggedRequest) => boolean);

export class RequestLog {
  #entries: LoggedRequest[] = [];
  readonly #changes = new Changes();
  readonly #limit: number;
  /** Entries ever added. */
  #added = 0;

  constructor(limit = Infinity) {
    this.#limit = limit;
  }

  get entries(): readonly LoggedRequest[] {
    return this.#entries;
  }

  add(entry: LoggedRequest): void {
    this.#added += 1;
    this.#entries.push(entry);
    if (this.#entries.length > this.#limit) this.#entries.shift();
    this.#changes.notify();
  }

  /** Completes an entry. */
  note(entry: LoggedRequest, progress: Progress): void {
    Object.assign(entry, progress);
    this.#changes.notify();
  }

  /** Starts an empty log; an array that a test has taken before keeps its entries. */
  clear(): void {
    this.#entries = [];
  }

  /** Resolves with all matching requests once the log holds `count` of them. */
  received(count: number, filter: RequestFilter): Promise<LoggedRequest[]> {
    return this.#changes.until(() => {
      // Not worth a look while the log grows.
      if (this.#entries.length < count) return undefined;
      const matching = this.#entries.filter((entry) => matchesFilter(entry, filter));
      return matching.length >= count ? matching : undefined;
    });
  }

  /** Resolves with the first matching request that arrives from now on. */
  next(filter: RequestFilter): Promise<LoggedRequest> {
    const seen = this.#added;
    return this.#changes.until(() => {
      const gone = this.#added - this.#entries.length;
      const arrived = this.#entries.slice(Math.max(0, seen - gone));
      return arrived.find((entry) => matchesFilter(entry, filter));
    });
  }
}

function matchesFilter(entry: LoggedRequest, filter: RequestFilter): boolean {
  if (typeof filter === "function") return filter(entry);
  const { method = entry.method, path } = filter;
  return entry.method === method.toUpperCase() && (path === undefined || matchesPath(entry.path, path));
}

/** Compares without regard to a trailing slash; `/folder/*` matches by prefix. */
export function matchesPath(path: string, pattern: string): boolean {
  if (pattern.endsWith("*")) return path.startsWith(pattern.slice(0, -1));
  return withoutTrailingSlash(path) === withoutTrailingSlash(pattern);
}

function withoutTrailingSlash(path: string): string {
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}
