import { createHash } from "node:crypto";
import {
  attemptDetails,
  describeError,
  type Answer,
  type BroadcastOptions,
  type CallOptions,
  type Consume,
  type Pool,
} from "@davpool/core";
import {
  InvalidXmlError,
  METHODS,
  MultistatusScan,
  destinationProblem,
  implausible,
  isSafe,
  type PartFailure,
  type WebDavRequest,
  type WebDavWire,
} from "@davpool/transport-webdav";
import { Type, type Static } from "typebox";
import { decodeBody, encodeBody } from "./body-encoding.ts";
import type { HeaderRules } from "./header-rules.ts";
import { implausibleHint, redirectHint, truncationHint, unreadableHint } from "./answer-hints.ts";
import { InvalidArgumentsError, defineTool, type Tool, type ToolAnswer } from "./tool.ts";

/** Whoever writes a program by heart forgets a name sooner than means everything. */
const REMOVING = new Set(["DELETE", "MOVE"]);
const BASE = /^\/*$/;

const input = Type.Object(
  {
    method: Type.String({ maxLength: 32, description: `One of ${METHODS.join(", ")}.` }),
    path: Type.String({
      maxLength: 8_192,
      description:
        "Path below the server's base, such as /folder/file.txt. Escapes such as %20 are decoded; % itself is %25. An href in an answer begins with the base of the server that gave it: leave that away.",
    }),
    depth: Type.Optional(Type.Enum(["0", "1", "infinity"], { description: "Depth header. Default for PROPFIND: 1." })),
    headers: Type.Optional(
      Type.Record(Type.String(), Type.String({ maxLength: 16_384 }), {
        maxProperties: 64,
        description:
          "Further request headers, such as Destination (a path), Overwrite (T lets COPY and MOVE replace what is at the destination; default F), If-Match or Range, each once. Those of HTTP and WebDAV pass, others if the operator allows them.",
      }),
    ),
    body: Type.Optional(Type.String({ description: "Request body, encoded as bodyEncoding says." })),
    bodyEncoding: Type.Optional(
      Type.Enum(["utf8", "base64"], { default: "utf8", description: "How body is encoded." }),
    ),
    serverId: Type.Optional(
      Type.String({ minLength: 1, maxLength: 128, description: "Only this server. Default: the pool chooses." }),
    ),
    serverGroup: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: "Every enabled server of this group, in parallel. Not with serverId.",
      }),
    ),
    aggregate: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description:
          "With serverGroup, how the answers become one: all reports each, first takes the first success, fastest the first answer, majority what most agree on (status and whole body).",
      }),
    ),
    quorum: Type.Optional(
      Type.Integer({ minimum: 1, description: "With serverGroup: how many servers must succeed." }),
    ),
  },
  { additionalProperties: false },
);

const attempt = Type.Object({
  serverId: Type.String(),
  outcome: Type.Enum(["answered", "failed", "unknown"], {
    description: "unknown: the request may have been carried out there.",
  }),
  latency: Type.Integer({ description: "Milliseconds." }),
  failure: Type.Optional(Type.String()),
  message: Type.Optional(Type.String()),
});
const answerFields = {
  serverId: Type.String({ description: "The server that answered." }),
  success: Type.Boolean({
    description: "The server did what the method promises: a 2xx that fits the method, whose parts hold no failure.",
  }),
  status: Type.Integer({ description: "HTTP status." }),
  redirectedTo: Type.String({ description: "The path that answered, where a redirect was followed to it." }),
  headers: Type.Record(Type.String(), Type.Union([Type.String(), Type.Array(Type.String())])),
  body: Type.String(),
  bodyEncoding: Type.Enum(["utf8", "base64"]),
  truncated: Type.Boolean({ description: "The body is only the beginning; hint says how to get the rest." }),
  size: Type.Integer({ description: "Bytes of the whole file, where the server said so." }),
  hint: Type.String(),
  failures: Type.Array(Type.Object({ href: Type.String(), status: Type.Integer() }), {
    description: "Parts of a multistatus answer that failed, a thousand at most.",
  }),
  moreFailures: Type.Integer({ description: "How many parts failed beyond those in failures." }),
  attempts: Type.Array(attempt, { description: "Every attempt, when there was more than one." }),
  error: Type.Object({ code: Type.String(), message: Type.String() }),
};
const everyField = Object.fromEntries(
  Object.entries(answerFields).map(([name, schema]) => [name, Type.Optional(schema)]),
);

const output = Type.Object(
  {
    ...everyField,
    results: Type.Optional(
      Type.Array(Type.Object({ ...everyField, serverId: Type.String(), success: Type.Boolean() }), {
        description: "For a group: one entry for each server, in place of the fields beside it.",
      }),
    ),
    chosen: Type.Optional(
      Type.Object(
        { from: Type.Array(Type.String()), dissenters: Type.Array(Type.String()) },
        {
          description:
            "For a group with aggregate: the servers whose answer was chosen, and those that differ from it.",
        },
      ),
    ),
    quorum: Type.Optional(
      Type.Object(
        { required: Type.Integer(), succeeded: Type.Integer(), met: Type.Boolean() },
        { description: "For a group with quorum: how many servers had to succeed, and how many did." },
      ),
    ),
  },
  { description: "The answer of one server, or results for a group." },
);

/** Methods whose 207 reports failures property by property; to a PROPFIND a missing property is no failure. */
const WRITES_PROPERTIES = new Set(["PROPPATCH", "MKCOL"]);

interface ServerAnswer extends Record<string, unknown> {
  readonly success: boolean;
}

/** A pool that tools are made for. */
export interface ToolPool {
  readonly pool: Pool<WebDavWire>;
  /** Milliseconds that its calls may take. */
  readonly deadline: number;
  /** How answers to a group become one, where a call does not say. */
  readonly aggregator: string;
}

export interface DavRequestOptions {
  readonly headers: HeaderRules;
  /** Bytes of a response body. */
  readonly maxBodySize: number;
}

/** How answers are chosen without comparing them. */
const COMPARES_NOTHING = new Set(["all", "first", "fastest"]);

/** `dav_request`: one WebDAV request, to the pool, to one server or to a group. */
export function davRequestTool(
  { pool, deadline, aggregator }: ToolPool,
  prefix: string,
  { maxBodySize, headers: rules }: DavRequestOptions,
): Tool {
  const name = `${prefix}dav_request`;
  return defineTool({
    name,
    asksServers: true,
    pool: pool.name,
    title: "Send a WebDAV request",
    description:
      "Sends one WebDAV request. The pool chooses a server and moves to another when one fails, wherever that is safe. serverId asks one server only, serverGroup every server of a group. Lock tokens and entity tags go back to the server that gave them.",
    input,
    output,
    annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: false, openWorldHint: true },
    safe: ({ method }) => isSafe(method.toUpperCase()),
    async run(args, { signal, caller, limit }) {
      const call = { signal, caller, ...(limit !== undefined && { deadline: Math.min(limit, deadline) }) };
      const { serverId, serverGroup, aggregate, quorum } = args;
      if (serverId !== undefined && serverGroup !== undefined)
        throw new InvalidArgumentsError(name, [
          { path: "serverGroup", message: "cannot stand together with serverId: name one server or a group." },
        ]);
      if (serverGroup === undefined && (aggregate ?? quorum) !== undefined)
        throw new InvalidArgumentsError(name, [
          { path: aggregate === undefined ? "quorum" : "aggregate", message: "needs a serverGroup." },
        ]);
      const problems = rules.problems(args.headers ?? {}, args.depth);
      if (problems.length > 0) throw new InvalidArgumentsError(name, problems);
      const request = await toRequest(name, args);
      if (REMOVING.has(request.method) && BASE.test(args.path))
        throw new InvalidArgumentsError(name, [
          { path: "path", message: `is the server's base, and ${request.method} would take away everything in it.` },
        ]);
      const problem = destinationProblem(request);
      if (problem !== undefined)
        throw new InvalidArgumentsError(name, [{ path: "headers.Destination", message: problem }]);
      const digests = COMPARES_NOTHING.has(aggregate ?? aggregator) ? undefined : new Digests();
      const consume = answerReader(request, { limit: maxBodySize, rules, digests });
      return serverGroup === undefined
        ? one(pool, request, consume, serverId, call)
        : group(pool, request, digests, {
            ...call,
            consume,
            serverGroup,
            ...(aggregate !== undefined && { aggregator: aggregate }),
            ...(quorum !== undefined && { quorum }),
          });
    },
  });
}

async function toRequest(tool: string, args: Static<typeof input>): Promise<WebDavRequest> {
  const method = args.method.toUpperCase();
  const headers: Record<string, string> = { ...args.headers };
  const has = (wanted: string) => Object.keys(headers).some((header) => header.toLowerCase() === wanted);
  const depth = args.depth ?? (method === "PROPFIND" && !has("depth") ? "1" : undefined);
  if (depth !== undefined) headers.Depth = depth;
  const body = args.body === undefined ? undefined : await decodeBody(tool, args.body, args.bodyEncoding ?? "utf8");
  // Some servers refuse XML that is not called so.
  if (body !== undefined && method !== "PUT" && method !== "POST" && method !== "PATCH" && !has("content-type"))
    headers["Content-Type"] = "application/xml; charset=utf-8";
  return { method, path: args.path, headers, ...(body !== undefined && { body }) };
}

async function one(
  pool: Pool<WebDavWire>,
  request: WebDavRequest,
  consume: Consume<WebDavWire, ServerAnswer>,
  serverId: string | undefined,
  call: CallOptions,
): Promise<ToolAnswer> {
  const answer = await pool.execute(request, { ...call, consume, ...(serverId !== undefined && { serverId }) });
  return { value: withAttempts(answer) };
}

async function group(
  pool: Pool<WebDavWire>,
  request: WebDavRequest,
  digests: Digests | undefined,
  options: BroadcastOptions<WebDavWire, ServerAnswer>,
): Promise<ToolAnswer> {
  const { results, from, dissenters, quorum } = await pool.broadcast<ServerAnswer>(request, {
    ...options,
    succeeded: ({ success }) => success,
    // Dates and server names differ between answers that are the same.
    ...(digests && { key: (answer) => `${String(answer.status)} ${digests.of(answer)}` }),
  });
  return {
    value: {
      ...(options.aggregator !== undefined && { chosen: { from, dissenters } }),
      ...(quorum && { quorum }),
      results: results.map((result) =>
        result.ok
          ? { serverId: result.serverId, ...result.value }
          : {
              serverId: result.serverId,
              success: false,
              error: { code: String(result.failure.code ?? result.failure.kind), message: result.failure.message },
            },
      ),
    },
    // Somebody's HTTP answer is an answer, whatever it says.
    isError: results.every((result) => !result.ok),
  };
}

function withAttempts({ value, serverId, attempts }: Answer<ServerAnswer>): Record<string, unknown> {
  return { serverId, ...value, ...(attempts.length > 1 && { attempts: attempts.map(attemptDetails) }) };
}

/** Reads a response inside the attempt, so that one that breaks off may still come from another server. */
function answerReader(request: WebDavRequest, { limit, rules, digests }: Reading): Consume<WebDavWire, ServerAnswer> {
  const { method } = request;
  return async (response, { serverId }) => {
    const { status, headers, body, redirectedTo } = response;
    let unreadable: InvalidXmlError | undefined;
    const scan = status === 207 ? new MultistatusScan(WRITES_PROPERTIES.has(method)) : undefined;
    const look = (chunk: Uint8Array) => {
      if (unreadable) return;
      try {
        scan?.write(chunk);
      } catch (error) {
        // Of a listing that cannot be read to its end, the caller may still make something.
        if (!isSafe(method) || !(error instanceof InvalidXmlError)) throw error;
        unreadable = error;
      }
    };
    const hash = digests && createHash("sha256");
    const {
      bytes,
      truncated: cut,
      brokenOff,
    } = await body.read(limit, look, hash && ((chunk) => void hash.update(chunk)));
    const truncated = cut || brokenOff !== undefined;
    if (!truncated && !unreadable)
      try {
        scan?.close();
      } catch (error) {
        // One that ends too early may come whole from another server; a stray & only hides its end from the parser.
        if (!isSafe(method) || !(error instanceof InvalidXmlError) || !isComplete(bytes)) throw error;
        unreadable = error;
      }
    const found: readonly PartFailure[] = scan?.failures ?? [];
    // A report names with 404 what is gone since the last one.
    const failures = method === "REPORT" ? found.filter((failure) => failure.status !== 404) : found;
    const problem = implausible(request, response);
    const hint =
      implausibleHint(problem) ??
      unreadableHint(serverId, unreadable) ??
      redirectHint(method, status, headers.location);
    const { shown, ...encoded } = encodeBody(bytes, truncated);
    const { start, size } = extent(status, headers["content-range"], body.length);
    const answer: ServerAnswer = {
      success: status >= 200 && status < 300 && failures.length === 0 && problem === undefined && !unreadable,
      status,
      headers: rules.shown(headers),
      ...(redirectedTo !== undefined && { redirectedTo }),
      ...encoded,
      ...(hint !== undefined && { hint }),
      ...(truncated && {
        truncated,
        ...(size !== undefined && { size }),
        hint: brokenOff
          ? `The server answered, and its answer broke off after ${bytes.byteLength} bytes: ${describeError(brokenOff)}. The status stands; do not repeat the request before looking at the current state.`
          : truncationHint(method, status, shown, start + shown),
      }),
      ...(failures.length > 0 && { failures }),
      ...(scan && scan.more > 0 && { moreFailures: scan.more }),
    };
    if (hash) digests?.keep(answer, hash.digest("base64"));
    return answer;
  };
}

interface Reading {
  /** Bytes that are kept of a body. */
  readonly limit: number;
  readonly rules: HeaderRules;
  /** Present where answers are compared: then bodies are read to their end. */
  readonly digests: Digests | undefined;
}

/** What whole bodies are, for comparing answers of which only the beginning is kept. */
class Digests {
  readonly #byAnswer = new WeakMap<ServerAnswer, string>();

  keep(answer: ServerAnswer, digest: string): void {
    this.#byAnswer.set(answer, digest);
  }

  of(answer: ServerAnswer): string {
    return this.#byAnswer.get(answer) ?? "";
  }
}

/** Where a body begins in the whole file, and how long that is. */
function extent(
  status: number,
  range: unknown,
  length: number | undefined,
): { start: number; size: number | undefined } {
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(String(range)) ?? [];
  if (status !== 206 || start === undefined) return { start: 0, size: length };
  return { start: Number(start), size: total === "*" ? undefined : Number(total) };
}

/** Whether a multistatus has its end, readable or not. */
function isComplete(bytes: Uint8Array): boolean {
  const end = Buffer.from(bytes.subarray(-100)).toString("latin1");
  return /<\/(?:[\w.-]{1,50}:)?multistatus\s{0,10}>\s*$/.test(end);
}
