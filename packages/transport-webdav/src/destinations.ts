import { header } from "./affinity.ts";
import { requireLimits } from "./limits.ts";
import { confine, isWholeUrl, type Base } from "./paths.ts";
import type { WebDavRequest } from "./wire.ts";

const ROOT: Base = { origin: "", path: "/" };

/**
 * Why a COPY or MOVE must not be sent to this destination. Servers such as Apache delete what is at the destination
 * first: an ancestor takes the source along, and the base everything there is.
 *
 * @param destination a path below the base, like `request.path`. Default: the request's header, unless that is a whole
 *   URL, which only one server can read.
 * @returns one sentence, or undefined when it may be sent.
 * @throws InvalidPathError, InvalidRequestError for what cannot be sent anywhere.
 */
export function destinationProblem(request: WebDavRequest, destination = destinationOf(request)): string | undefined {
  const { method, path } = request;
  if ((method !== "COPY" && method !== "MOVE") || destination === undefined) return undefined;
  requireLimits(request);
  const source = collection(path);
  const target = collection(destination);
  if (target === ROOT.path) return "is the server's base, and everything in it would be deleted first.";
  if (target === source) return "is the source itself.";
  if (source.startsWith(target)) return "is a folder above the source, which would be deleted first.";
  const alone = method === "COPY" && header(request, "depth") === "0";
  return target.startsWith(source) && !alone ? "is inside the source." : undefined;
}

function destinationOf(request: WebDavRequest): string | undefined {
  const value = header(request, "destination");
  return value === undefined || isWholeUrl(value) ? undefined : value;
}

/** One spelling of a path, with a slash at its end. */
function collection(path: string): string {
  const wire = confine(ROOT, path);
  return wire.endsWith("/") ? wire : `${wire}/`;
}
