import { InvalidPathError, InvalidRequestError } from "./errors.ts";
import type { WebDavRequest } from "./wire.ts";

/** Characters of a path. Servers take about as many in a request line. */
export const MAX_PATH = 8_192;
/** Characters of one header value, and of all names and values of a request together. */
export const MAX_HEADER = 16_384;
export const MAX_HEADERS = 65_536;

/** Whether a request may be read further. Nothing scans the text of one that may not. */
export function isWithinLimits({ path, headers }: WebDavRequest): boolean {
  if (path.length > MAX_PATH) return false;
  let total = 0;
  for (const name in headers) {
    const { length } = headers[name] as string;
    total += name.length + length;
    if (length > MAX_HEADER || total > MAX_HEADERS) return false;
  }
  return true;
}

/**
 * Refuses what is too long before anything else reads it.
 * @throws InvalidPathError, InvalidRequestError
 */
export function requireLimits(request: WebDavRequest): void {
  if (isWithinLimits(request)) return;
  const { path, headers } = request;
  if (path.length > MAX_PATH)
    throw new InvalidPathError(path, `it has ${path.length} characters, and the limit is ${MAX_PATH}.`);
  for (const name in headers) {
    const { length } = headers[name] as string;
    if (length > MAX_HEADER)
      throw new InvalidRequestError(
        `The header ${name.slice(0, 50)} has ${length} characters. The limit is ${MAX_HEADER}.`,
      );
  }
  throw new InvalidRequestError(`The headers have more than ${MAX_HEADERS} characters together. Send fewer.`);
}
