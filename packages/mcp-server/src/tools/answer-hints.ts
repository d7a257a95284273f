import { describeError } from "@davpool/core";
import { isSafe, type InvalidXmlError } from "@davpool/transport-webdav";

/** What is wrong with an answer, for whoever reads it, and what to do. */
export function implausibleHint(problem: string | undefined): string | undefined {
  return problem === undefined
    ? undefined
    : `This is no answer of a WebDAV server: ${problem}. Nothing shows that the request was carried out. Check the server's url, and what stands before it, such as a login page.`;
}

export function unreadableHint(serverId: string, error: InvalidXmlError | undefined): string | undefined {
  if (!error) return undefined;
  // The parser's message begins with line and column.
  const place = error.cause === undefined ? "" : ` At line and column ${describeError(error.cause)}`;
  return `${error.message}${place} The body of server "${serverId}" is given as it came, and was not searched to its end for failures.`;
}

export function redirectHint(method: string, status: number, location: unknown): string | undefined {
  if (status < 301 || status > 308 || status === 304 || typeof location !== "string") return undefined;
  const target = location.slice(0, 500);
  return isSafe(method)
    ? `The server redirects to ${target}, which is not below its url, so it was not followed. If the files have moved there, change the server's url.`
    : `The server redirects to ${target}. Requests that change something are not redirected. If the path names a folder, write it with a slash at its end; if the files have moved, change the server's url.`;
}

export function truncationHint(method: string, status: number, shown: number, next: number): string {
  if (method === "GET" && (status === 200 || status === 206))
    return `Only the first ${shown} bytes are shown. For the rest send GET again with the header Range: bytes=${next}-, to the same serverId.`;
  return `Only the first ${shown} bytes are shown. Ask for less: a smaller depth, fewer properties, or a folder further down.`;
}
