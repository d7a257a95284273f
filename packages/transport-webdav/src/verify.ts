import { header } from "./affinity.ts";
import type { WebDavRequest, WebDavResponse } from "./wire.ts";

type Ask = (request: WebDavRequest) => Promise<WebDavResponse>;

/**
 * After an attempt whose outcome is unknown, a repeat may find the work already done: DELETE and MOVE then answer 404,
 * MKCOL 405, and a precondition against overwriting 412. Whether it was this request that did it shows in the state.
 * @returns true when the server's state is the one the request wanted.
 */
export async function isDone(request: WebDavRequest, response: WebDavResponse, ask: Ask): Promise<boolean> {
  const { method, path } = request;
  const exists = async (at: string, collection = false): Promise<boolean> => {
    const found = await ask({ method: "PROPFIND", path: at, headers: { Depth: "0" } });
    const text = await found.body.text();
    return found.status === 207 && (!collection || /<(?:[\w-]+:)?collection\b/.test(text));
  };
  const { status } = response;
  if (method === "DELETE" && status === 404) return !(await exists(path));
  if (method === "MKCOL" && status === 405) return exists(path, true);
  const destination = header(request, "destination");
  if (method === "MOVE" && destination !== undefined && (status === 404 || status === 412))
    return !(await exists(path)) && exists(destination);
  return false;
}
