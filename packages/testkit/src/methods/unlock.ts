import type { Answer } from "../answer.ts";
import { emptyAnswer, refuse, refuseWithCondition } from "../answer.ts";
import type { DavRequest, Site } from "../site.ts";

/** UNLOCK. The token must stand in angle brackets, as with Apache: a client that forgets them should notice. */
export function unlock(request: DavRequest, site: Site): Answer {
  const header = request.headers["lock-token"];
  const token = /^\s*<([^<>]+)>\s*$/.exec(typeof header === "string" ? header : "")?.[1];
  if (token === undefined) refuse(400, "Lock-Token must be a token in angle brackets");
  if (!site.tree.exists(request.path)) refuse(404, `nothing at ${request.path}`);
  if (!site.locks.covers(token, request.path)) refuseWithCondition(409, "<D:lock-token-matches-request-uri/>");
  site.locks.release(token);
  return emptyAnswer(204);
}
