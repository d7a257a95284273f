import type { McpMethod, McpProgress, McpRequest } from "@davpool/transport-mcp";
import { ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";
import type { DownstreamCall } from "./downstream-call.ts";
import { UPSTREAM_UNAVAILABLE, protocolErrorOf, resultOf } from "./errors.ts";
import { ANSWER_TIME, capabilitiesOf, levelOf, metaFor, withSource, type Fields } from "./messages.ts";
import { ProgressLimit } from "./progress-limit.ts";
import { SuspendedCall, type SuspendedCalls } from "./suspended.ts";
import type { Upstream } from "./upstream.ts";

/** A request as the servers of one pool take it, without what belongs to the client's own request. */
export interface Forwarded extends Pick<McpRequest, "annotations" | "servers" | "headers"> {
  readonly method: McpMethod;
  readonly params: Fields;
}

/**
 * Sends a client's request to a server of a pool, and everything that belongs to it both ways.
 * @throws ProtocolError with what the server answered, or that none did.
 */
export async function forward(
  upstream: Upstream,
  request: Forwarded,
  call: DownstreamCall,
  suspended: SuspendedCalls,
): Promise<Fields> {
  if (!call.modern) return send(upstream, request, call, call.context.mcpReq.signal);
  const { mcpReq } = call.context;
  const state = mcpReq.requestState();
  let waiting: SuspendedCall;
  if (suspended.owns(state)) {
    waiting = suspended.resume(state, call.caller.principal);
    waiting.answered(mcpReq.inputResponses ?? {});
  } else {
    waiting = new SuspendedCall(call.caller.principal);
    waiting.result = send(upstream, request, { ...call, ask: waiting.ask }, waiting.signal);
  }
  const next = await waiting.next(mcpReq.signal);
  if ("result" in next) return next.result;
  return { resultType: "input_required", inputRequests: next.questions, requestState: suspended.keep(waiting) };
}

async function send(
  { pool, name, clock, deadline: usual, longestCall }: Upstream,
  { method, params, annotations, servers, headers }: Forwarded,
  call: DownstreamCall,
  signal: AbortSignal,
): Promise<Fields> {
  const { context, server, caller, client, limit } = call;
  if (client?.gone) throw new ProtocolError(ProtocolErrorCode.InvalidRequest, "The session has ended.");
  const { mcpReq } = context;
  const capabilities = capabilitiesOf(server, context);
  const meta = metaFor(context, call.modern ? levelOf(context) : client?.level);
  const state = mcpReq.requestState();
  const token = mcpReq._meta?.progressToken;
  // Whoever can be asked may ask a human.
  const patience = "elicitation" in capabilities || "sampling" in capabilities ? ANSWER_TIME : undefined;
  const time = Math.max(Math.min(limit ?? Infinity, usual), patience ?? 0);
  // Who asks for progress waits as long as there is some.
  using patient = token === undefined ? undefined : new ProgressLimit(clock, time, signal);
  const request: McpRequest = {
    method,
    params: {
      ...params,
      ...(meta && { _meta: meta }),
      ...(mcpReq.inputResponses && { inputResponses: mcpReq.inputResponses }),
      ...(typeof state === "string" && { requestState: state }),
    },
    capabilities,
    origin: call,
    ...(annotations && { annotations }),
    ...(servers && { servers }),
    ...(headers && { headers }),
    // Where clients can come back for the answer, they are let go as this server was.
    ...(context.http?.closeSSE && { onParted: context.http.closeSSE }),
    ...(token !== undefined && {
      onProgress: (progress: McpProgress) => {
        patient?.extend();
        tell(call, progress, token);
      },
    }),
  };
  client?.running.add(call);
  try {
    const { value, serverId } = await pool.execute(request, {
      caller,
      signal: patient?.signal ?? signal,
      deadline: patient ? Math.max(time, longestCall) : time,
    });
    return withSource(resultOf(value, name, serverId), { pool: name, serverId });
  } catch (error) {
    throw patient?.expired === true ? tooLong(method, time, name) : protocolErrorOf(error, name);
  } finally {
    client?.ended(call);
  }
}

function tooLong(method: string, time: number, pool: string): ProtocolError {
  return new ProtocolError(
    UPSTREAM_UNAVAILABLE,
    `${method} was given up after ${time} ms without an answer or a report of progress; what it was to do may be done. Raise deadline of pool "${pool}", sessions.operationTimeout for clients over HTTP, or report progress, which extends it up to gateway.longestCall.`,
    { code: "DEADLINE_EXCEEDED", pool },
  );
}

function tell({ context }: DownstreamCall, progress: McpProgress, progressToken: string | number): void {
  context.mcpReq
    .notify({ method: "notifications/progress", params: { ...progress, progressToken } })
    // The client has gone, or has been answered meanwhile.
    .catch(() => {});
}
