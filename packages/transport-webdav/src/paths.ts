import { InvalidPathError } from "./errors.ts";
import { MAX_PATH } from "./limits.ts";

/** Where a server's files are: an origin and a path that ends with a slash, both as they go on the wire. */
export interface Base {
  readonly origin: string;
  readonly path: string;
}

/** @throws TypeError for what is no absolute URL. */
export function baseOf(url: string): Base {
  const { origin, pathname } = new URL(url);
  return { origin, path: pathname.endsWith("/") ? pathname : `${pathname}/` };
}

/** Paths made of these alone need neither decoding nor encoding; a dot segment would show as `/.` or lead. */
const PLAIN = /^\/?(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*\/)*(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*)?$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//;

/** True for what is a whole URL and no path. */
export function isWholeUrl(text: string): boolean {
  return SCHEME.test(text);
}

/**
 * A path from a caller as it goes on the wire, below `base` in every case. Works per segment, because a whole URL
 * hides what its parts say: URL parsers fold `%2e%2e` away, servers unfold `..%2f`.
 * @throws InvalidPathError
 */
export function confine(base: Base, path: string): string {
  if (path.length > MAX_PATH)
    throw new InvalidPathError(path, `it has ${path.length} characters, and the limit is ${MAX_PATH}.`);
  if (PLAIN.test(path)) return base.path + (path.startsWith("/") ? path.slice(1) : path);
  if (isWholeUrl(path))
    throw new InvalidPathError(
      path,
      "it is a whole URL. Give the path below the server's base, such as /folder/file.txt.",
    );
  const segments = path.split("/").filter((segment) => segment !== "");
  const encoded = segments.map((segment) => encodeSegment(path, segment));
  const end = path.endsWith("/") && encoded.length > 0 ? "/" : "";
  return base.path + encoded.join("/") + end;
}

/**
 * The path below `base` that a URL or path from a server stands for; undefined when it leads elsewhere. What has a
 * query or a fragment is no address of a file: without them it would be another file's.
 */
export function below(base: Base, location: string, from: string): string | undefined {
  if (location.length > MAX_PATH) return undefined;
  const url = URL.parse(location, base.origin + from);
  if (!url || url.origin !== base.origin || /[?#]/.test(location)) return undefined;
  try {
    const path = canonical(url.pathname);
    const root = canonical(base.path);
    return path.startsWith(root) ? path.slice(root.length - 1) : undefined;
  } catch {
    return undefined;
  }
}

/** One spelling for paths that differ only in how they are escaped. @throws InvalidPathError */
function canonical(pathname: string): string {
  return pathname
    .split("/")
    .map((segment) => encodeSegment(pathname, segment))
    .join("/");
}

function encodeSegment(path: string, segment: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(segment);
  } catch {
    throw new InvalidPathError(
      path,
      `"${segment}" has a percent sign that begins no escape. Write a literal one as %25.`,
    );
  }
  if (decoded === "." || decoded === "..")
    throw new InvalidPathError(
      path,
      `"${segment}" would leave the folder it stands in. Give the path without dot segments.`,
    );
  const forbidden = /[/\\\0]/.exec(decoded)?.[0];
  if (forbidden !== undefined)
    throw new InvalidPathError(
      path,
      `"${segment}" holds ${JSON.stringify(forbidden)} inside one name. Separate folders with plain slashes.`,
    );
  if (!decoded.isWellFormed())
    throw new InvalidPathError(path, "it holds half of a surrogate pair, which is no character.");
  return encodeURIComponent(decoded);
}
