import { header } from "./affinity.ts";
import { MultistatusScan, type PartFailure } from "./multistatus.ts";
import { isWholeUrl } from "./paths.ts";
import type { WebDavRequest, WebDavResponse } from "./wire.ts";

type Ask = (request: WebDavRequest) => Promise<WebDavResponse>;

/** `unknown`: the server would not tell. */
type State = "absent" | "file" | "collection" | "unknown";

const QUESTION = `<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/></prop></propfind>`;
/** Bytes of an answer that are looked at. */
const ENOUGH = 64 * 1024;

/**
 * After an attempt whose outcome is unknown, a repeat may find the work already done: DELETE and MOVE then answer 404,
 * MKCOL 405, and a precondition against overwriting 412. Whether it was this request that did it shows in the state.
 * @returns true when the server's state is the one the request wanted; false when it is not, or is not known.
 */
export async function isDone(request: WebDavRequest, response: WebDavResponse, ask: Ask): Promise<boolean> {
  const { method, path } = request;
  const { status } = response;
  if (method === "DELETE" && status === 404) return (await stateOf(path, ask)) === "absent";
  if (method === "MKCOL" && status === 405) return (await stateOf(path, ask)) === "collection";
  if (method === "PUT" && status === 412 && header(request, "if-none-match") === "*") return holds(request, ask);
  const destination = header(request, "destination");
  // A whole URL is the spelling of one server, and which one is asked is not known here.
  if (method !== "MOVE" || destination === undefined || isWholeUrl(destination)) return false;
  if (status !== 404 && status !== 412) return false;
  if ((await stateOf(path, ask)) !== "absent") return false;
  const moved = await stateOf(destination, ask);
  return moved === "file" || moved === "collection";
}

async function stateOf(path: string, ask: Ask): Promise<State> {
  const headers = { Depth: "0", "Content-Type": "application/xml; charset=utf-8" };
  const { status, body } = await ask({ method: "PROPFIND", path, headers, body: QUESTION });
  const { bytes } = await body.read(ENOUGH);
  if (status === 404 || status === 410) return "absent";
  if (status !== 207) return "unknown";
  // Some say so inside a 207.
  const [failure] = multistatusFailures(bytes);
  if (failure) return failure.status === 404 || failure.status === 410 ? "absent" : "unknown";
  return /<(?:[\w.-]+:)?collection[\s/>]/.test(Buffer.from(bytes).toString("utf8")) ? "collection" : "file";
}

/** Whether the file has the content that the request was to give it. */
async function holds({ path, body = "" }: WebDavRequest, ask: Ask): Promise<boolean> {
  if (typeof body !== "string" && !(body instanceof Uint8Array)) return false;
  const wanted = Buffer.from(body);
  const found = await ask({ method: "GET", path });
  const { bytes, truncated } = await found.body.read(wanted.byteLength);
  return found.status === 200 && !truncated && wanted.equals(bytes);
}

/** Of the resources in an answer that is short enough to be whole. */
function multistatusFailures(bytes: Uint8Array): readonly PartFailure[] {
  const scan = new MultistatusScan(false);
  scan.write(bytes);
  scan.close();
  return scan.failures;
}
