import type { Caller } from "@davpool/core";
import type { ServerContext } from "@modelcontextprotocol/server";
import { fullAccess, type Access } from "./identity/access.ts";
import type { Principal } from "./identity/principal.ts";

/** Who makes a request: hosts that know put it there. */
export function principalOf({ http }: ServerContext): Principal | undefined {
  return http?.authInfo?.extra?.principal as Principal | undefined;
}

/** What whoever makes a request may do. */
export function accessOf(context: ServerContext): Access {
  return principalOf(context)?.access ?? fullAccess;
}

/** On whose behalf a pool is called. */
export function callerOf(context: ServerContext): Caller {
  const principal = principalOf(context)?.name;
  const { sessionId } = context;
  return { ...(principal !== undefined && { principal }), ...(sessionId !== undefined && { session: sessionId }) };
}

/** Requests of 2026-07-28 bring along what older ones say once, when they begin. */
export function isModern({ mcpReq }: ServerContext): boolean {
  return mcpReq.envelope !== undefined;
}
