import { InvalidPathError } from "./errors.ts";

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

/**
 * A path from a caller as it goes on the wire, below `base` in every case. Works per segment, because a whole URL
 * hides what its parts say: URL parsers fold `%2e%2e` away, servers unfold `..%2f`.
 * @throws InvalidPathError
 */
export function confine(base: Base, path: string): string {
  if (PLAIN.test(path)) return base.path + (path.startsWith("/") ? path.slice(1) : path);
  if (SCHEME.test(path))
    throw new InvalidPathError(
      path,
      "it is a whole URL. Give the path below the server's base, such as /folder/file.txt.",
    );
  const segments = path.split("/").filter((segment) => segment !== "");
  const encoded = segments.map((segment) => encodeSegment(path, segment));
  const end = path.endsWith("/") && encoded.length > 0 ? "/" : "";
  return base.path + encoded.join("/") + end;
}

/** The path below `base` that a URL or path from a server stands for; undefined when it leads elsewhere. */
export function below(base: Base, location: string, from: string): string | undefined {
  if (!URL.canParse(location, base.origin + from)) return undefined;
  const { origin, pathname } = new URL(location, base.origin + from);
  if (origin !== base.origin || !pathname.startsWith(base.path)) return undefined;
  const rest = `/${pathname.slice(base.path.length)}`;
  try {
    confine(base, rest);
    return rest;
  } catch {
    return undefined;
  }
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
  return encodeURIComponent(decoded);
}
