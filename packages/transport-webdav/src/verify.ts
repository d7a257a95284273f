import { header } from "./affinity.ts";
import { bareToken } from "./if-header.ts";
import { MultistatusScan, type PartFailure } from "./multistatus.ts";
import { isWholeUrl } from "./paths.ts";
import type { WebDavRequest, WebDavResponse } from "./wire.ts";

type Ask = (request: WebDavRequest) => Promise<WebDavResponse>;

/** `unknown`: the server would not tell. */
type State = "absent" | "file" | "collection" | "unknown";

/** Bytes of an answer that are looked at. */
const ENOUGH = 64 * 1024;
/** Bytes of two files that are compared. Their lengths are compared whatever they are. */
const MOST_COMPARED = 8 * 1024 * 1024;

/**
 * After an attempt whose outcome is unknown, a repeat may find the work already done, and servers say so in many ways:
 * the README has them. Whether it was this request that did it shows in the state.
 * @returns true when the server's state is the one the request wanted; false when it is not, or is not known.
 */
export async function isDone(request: WebDavRequest, response: WebDavResponse, ask: Ask): Promise<boolean> {
  const { method, path } = request;
  const { status } = response;
  if (status < 400 && status !== 207) return false;
  switch (method) {
    case "DELETE":
      return (status === 404 || status === 410) && (await stateOf(path, ask)) === "absent";
    case "MKCOL":
      return status === 405 && (await stateOf(path, ask)) === "collection";
    case "PUT":
      return status === 412 && holds(request, ask);
    case "UNLOCK":
      return [400, 404, 409, 412].includes(status) && isUnlocked(request, ask);
  }
  const destination = header(request, "destination");
  // A whole URL is the spelling of one server, and which one is asked is not known here.
  if (destination === undefined || isWholeUrl(destination)) return false;
  if (method === "MOVE") return (status === 404 || status === 412) && isMoved(path, destination, ask);
  if (method === "COPY") return (status === 412 || status === 207) && isCopied(request, destination, ask);
  return false;
}

async function isMoved(path: string, destination: string, ask: Ask): Promise<boolean> {
  if ((await stateOf(path, ask)) !== "absent") return false;
  const moved = await stateOf(destination, ask);
  return moved === "file" || moved === "collection";
}

/** Whether the destination holds what the source does: something else may have been there all the time. */
async function isCopied(request: WebDavRequest, destination: string, ask: Ask): Promise<boolean> {
  const [source, copy] = [await stateOf(request.path, ask), await stateOf(destination, ask)];
  if (source !== copy) return false;
  if (source === "file") return haveSameContent(request.path, destination, ask);
  if (source !== "collection") return false;
  if (header(request, "depth") === "0") return true;
  const [members, copied] = [await membersOf(request.path, ask), await membersOf(destination, ask)];
  return members !== undefined && members === copied;
}

async function stateOf(path: string, ask: Ask): Promise<State> {
  const { status, text } = await properties(path, "0", "<resourcetype/>", ask);
  if (status === 404 || status === 410) return "absent";
  if (status !== 207) return "unknown";
  // Some say so inside a 207.
  const [failure] = multistatusFailures(text);
  if (failure) return failure.status === 404 || failure.status === 410 ? "absent" : "unknown";
  return /<(?:[\w.-]+:)?collection[\s/>]/.test(text) ? "collection" : "file";
}

async function isUnlocked(request: WebDavRequest, ask: Ask): Promise<boolean> {
  const token = header(request, "lock-token");
  if (token === undefined) return false;
  const { status, text } = await properties(request.path, "0", "<lockdiscovery/>", ask);
  return status === 404 || (status === 207 && !text.includes(bareToken(token)));
}

/** The names of a collection's members with their lengths. Undefined where there are too many to tell. */
async function membersOf(path: string, ask: Ask): Promise<string | undefined> {
  const { status, text, whole } = await properties(path, "1", "<getcontentlength/>", ask);
  if (status !== 207 || !whole) return undefined;
  const members: string[] = [];
  for (const [, name, value = ""] of text.matchAll(/<(?:[\w.-]+:)?(href|getcontentlength)(?:\s[^<>]*)?>([^<]*)</g))
    if (name === "href") members.push(value.split("/").findLast((segment) => segment !== "") ?? "");
    else members.push(`${members.pop() ?? ""} ${value}`);
  // The first is the collection itself.
  return members.slice(1).toSorted().join("\n");
}

async function properties(
  path: string,
  depth: "0" | "1",
  names: string,
  ask: Ask,
): Promise<{ status: number; text: string; whole: boolean }> {
  const headers = { Depth: depth, "Content-Type": "application/xml; charset=utf-8" };
  const question = `<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>${names}</prop></propfind>`;
  const { status, body } = await ask({ method: "PROPFIND", path, headers, body: question });
  const { bytes, truncated } = await body.read(ENOUGH);
  return { status, text: Buffer.from(bytes).toString("utf8"), whole: !truncated };
}

/** Of an answer that is short enough to be whole. */
function multistatusFailures(text: string): readonly PartFailure[] {
  const scan = new MultistatusScan(false);
  scan.write(Buffer.from(text));
  scan.close();
  return scan.failures;
}

/** Whether the file has the content that the request was to give it. */
async function holds({ path, body = "" }: WebDavRequest, ask: Ask): Promise<boolean> {
  if (typeof body !== "string" && !(body instanceof Uint8Array)) return false;
  const wanted = Buffer.from(body);
  const found = await ask({ method: "GET", path });
  const { bytes, truncated } = await found.body.read(wanted.byteLength);
  return found.status === 200 && !truncated && wanted.equals(bytes);
}

async function haveSameContent(path: string, other: string, ask: Ask): Promise<boolean> {
  const read = async (of: string) => {
    const { status, body } = await ask({ method: "GET", path: of });
    const { length } = body;
    const { bytes, truncated } = await body.read(MOST_COMPARED);
    return { status, bytes, length: length ?? (truncated ? undefined : bytes.byteLength) };
  };
  const [first, second] = [await read(path), await read(other)];
  const comparable = first.status === 200 && second.status === 200 && first.length !== undefined;
  return comparable && first.length === second.length && Buffer.from(first.bytes).equals(second.bytes);
}
