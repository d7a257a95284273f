import type { IncomingHttpHeaders } from "node:http";
import type { Answer } from "./answer.ts";
import { emptyAnswer, HttpError, textAnswer } from "./answer.ts";
import { challengeOf, isAuthorized } from "./auth.ts";
import { evaluateIf, parseIfHeader, submittedTokens } from "./if-header.ts";
import type { IfList, IfSubject } from "./if-header.ts";
import { copy, move } from "./methods/copy-move.ts";
import { remove } from "./methods/delete.ts";
import { lock } from "./methods/lock.ts";
import { mkcol } from "./methods/mkcol.ts";
import { allowedMethods, options } from "./methods/options.ts";
import { propfind } from "./methods/propfind.ts";
import { proppatch } from "./methods/proppatch.ts";
import { put } from "./methods/put.ts";
import { read } from "./methods/read.ts";
import { unlock } from "./methods/unlock.ts";
import { decodeTarget } from "./paths.ts";
import { etagOf, evaluatePreconditions } from "./preconditions.ts";
import type { DavRequest, Method, Site } from "./site.ts";
import { pathOfUrl } from "./site.ts";

const METHODS: Readonly<Record<string, Method>> = {
  OPTIONS: options,
  GET: read,
  HEAD: read,
  PUT: put,
  DELETE: remove,
  MKCOL: mkcol,
  COPY: copy,
  MOVE: move,
  PROPFIND: propfind,
  PROPPATCH: proppatch,
  LOCK: lock,
  UNLOCK: unlock,
};

/** Methods that the server knows but allows nowhere; all others are unknown to it. */
const NEVER_ALLOWED = new Set(["POST", "PATCH", "TRACE", "CONNECT"]);

/** Methods that make sense where nothing is, and whose preconditions are therefore asked there too. */
const CREATING = new Set(["PUT", "MKCOL", "LOCK"]);

export interface RawRequest {
  readonly method: string;
  /** The request's target as it came over the wire. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

/** Applies a request to the site and says what to answer. Throws only where the server itself has a bug. */
export function dispatch(raw: RawRequest, site: Site): Answer {
  if (site.auth !== undefined && !isAuthorized(site.auth, raw.headers.authorization)) {
    return textAnswer(401, "credentials are missing or wrong", { "www-authenticate": challengeOf(site.auth) });
  }
  // `OPTIONS *` asks about the server as a whole, which has nothing to say beyond its root.
  const target = decodeTarget(raw.target === "*" ? site.basePath : raw.target, site.basePath);
  if (!target.ok) {
    return target.reason === "malformed"
      ? textAnswer(400, `the path is not acceptable: ${target.path}`)
      : textAnswer(404, `${target.path} is not below ${site.basePath}`);
  }
  const method = Object.hasOwn(METHODS, raw.method) ? METHODS[raw.method] : undefined;
  if (method === undefined) {
    return NEVER_ALLOWED.has(raw.method)
      ? textAnswer(405, `${raw.method} is not allowed`, { allow: allowedMethods(site.tree.get(target.path)) })
      : textAnswer(501, `${raw.method} is not implemented`);
  }
  const ifHeader = raw.headers["if"];
  const lists = typeof ifHeader === "string" ? parseIfHeader(ifHeader) : [];
  if (lists === undefined) return textAnswer(400, "the If header is malformed");
  const request: DavRequest = { ...raw, ...target, tokens: submittedTokens(lists) };
  try {
    return conditionFailure(request, site, lists) ?? method(request, site);
  } catch (error) {
    if (error instanceof HttpError) return error.answer;
    throw error;
  }
}

function conditionFailure(request: DavRequest, site: Site, lists: readonly IfList[]): Answer | undefined {
  const resource = site.tree.get(request.path);
  // A missing resource is a 404 whatever its conditions (RFC 9110, section 13.2.1).
  if (resource === undefined && !CREATING.has(request.method)) return undefined;
  const subjectOf = (url: string | undefined): IfSubject | undefined => {
    const path = url === undefined ? request.path : pathOfUrl(url, request, site);
    return path === undefined ? undefined : subjectAt(path, site);
  };
  if (lists.length > 0 && !evaluateIf(lists, subjectOf)) return textAnswer(412, "the If header does not hold");
  const failed = evaluatePreconditions(request.method, request.headers, resource);
  if (failed === undefined) return undefined;
  const etag = etagOf(resource);
  return failed === 304
    ? emptyAnswer(304, etag === undefined ? {} : { etag })
    : textAnswer(412, "a precondition does not hold");
}

function subjectAt(path: string, site: Site): IfSubject {
  return {
    hasToken: (token) => site.locks.covers(token, path),
    hasEtag: (etag) => etag === etagOf(site.tree.get(path)),
  };
}
