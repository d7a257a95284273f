/**
 * Tree paths are decoded, start with `/` and, but for the root itself, do not end with one.
 * Empty segments are dropped, so `a//b/` and `/a/b` are the same path.
 */
export function normalizePath(path: string): string {
  return `/${segmentsOf(path).join("/")}`;
}

export function segmentsOf(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "");
}

export function parentOf(path: string): string {
  return normalizePath(path.slice(0, path.lastIndexOf("/")));
}

export function joinPath(parent: string, name: string): string {
  return parent === "/" ? `/${name}` : `${parent}/${name}`;
}

/** Whether `path` lies below `ancestor` (not the same path). */
export function isBelow(path: string, ancestor: string): boolean {
  return path !== ancestor && path.startsWith(ancestor === "/" ? "/" : `${ancestor}/`);
}

/** Percent-encodes each segment and puts the base path (`/dav/`) before it; collections end with `/`. */
export function toHref(basePath: string, path: string, collection: boolean): string {
  const encoded = segmentsOf(path).map(encodeURIComponent).join("/");
  return `${basePath}${encoded}${collection && encoded !== "" ? "/" : ""}`;
}

/** `/dav/` from `dav`, `/dav`, `/dav/`. */
export function normalizeBasePath(basePath: string): string {
  const path = normalizePath(basePath);
  return path === "/" ? path : `${path}/`;
}

export type DecodedTarget =
  | { readonly ok: true; readonly path: string; readonly trailingSlash: boolean }
  | { readonly ok: false; readonly reason: "malformed" | "outside-base"; readonly path: string };

/**
 * Takes the path out of a request target or URL and makes it relative to the base.
 * Dot segments and encoded separators are refused rather than resolved: a client that lets them through has a hole,
 * and a test should see it.
 */
export function decodeTarget(target: string, basePath: string): DecodedTarget {
  // A fragment has no business in a request; dropping it could make a DELETE hit more than was meant.
  if (target.includes("#")) return { ok: false, reason: "malformed", path: target };
  const raw = target.replace(/^https?:\/\/[^/?#]*/i, "").replace(/\?.*$/, "");
  let segments: string[];
  try {
    segments = segmentsOf(raw).map(decodeURIComponent);
  } catch {
    return { ok: false, reason: "malformed", path: raw };
  }
  if (segments.some(isUnsafe)) return { ok: false, reason: "malformed", path: raw };
  const base = segmentsOf(basePath);
  if (base.some((segment, index) => segments[index] !== segment)) {
    return { ok: false, reason: "outside-base", path: `/${segments.join("/")}` };
  }
  return { ok: true, path: `/${segments.slice(base.length).join("/")}`, trailingSlash: raw.endsWith("/") };
}

function isUnsafe(segment: string): boolean {
  return segment === "." || segment === ".." || /[/\\\0]/.test(segment);
}
