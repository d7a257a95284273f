import type { Grant } from "./section.ts";

/**
 * What a principal may do: the union of the grants it has. A grant counts as a whole, so "read everything" and "write
 * in pool a" together never become "write everywhere".
 */
export interface Access {
  /** Anything at all in this pool: whether it exists for the principal. */
  allowsPool(pool: string): boolean;
  /** Whether the tool is there for the principal, under the name that clients see. Ask {@link refusal} before a call. */
  allowsTool(tool: string, pool: string): boolean;
  /** In this pool and with this tool nothing may be changed. True also where the tool is not allowed at all. */
  readOnly(tool: string, pool: string): boolean;
}

/** A call that a principal is about to make. */
export interface ToolUse {
  /** As clients see it. */
  readonly tool: string;
  readonly pool: string;
  /**
   * The call changes nothing: the tool's `readOnlyHint` is true, or it sends one request and the request's traits are
   * safe. Where tools are listed: some calls of it can be safe.
   */
  readonly safe: boolean;
}

/** Access without limits, for stdio and for servers that ask nobody who they are. */
export const fullAccess: Access = { allowsPool: () => true, allowsTool: () => true, readOnly: () => false };

/** Access by the union of grants; without any, nothing is allowed. */
export function accessOf(grants: readonly Grant[]): Access {
  const rules = grants.map(toRule);
  return {
    allowsPool: (pool) => rules.some((rule) => rule.pool(pool)),
    allowsTool: (tool, pool) => rules.some((rule) => rule.pool(pool) && rule.tool(tool)),
    readOnly: (tool, pool) => !rules.some((rule) => rule.writes && rule.pool(pool) && rule.tool(tool)),
  };
}

/** Why a call is not allowed, in words for who makes it; undefined when it is. Unknown pools and forbidden ones look alike. */
export function refusal(access: Access, { tool, pool, safe }: ToolUse): string | undefined {
  if (!access.allowsPool(pool)) return `You have no access to the pool "${pool}".`;
  if (!access.allowsTool(tool, pool)) return `You may not use ${tool} in the pool "${pool}".`;
  if (!safe && access.readOnly(tool, pool))
    return `You may only read in the pool "${pool}" with ${tool}; this call could change something.`;
  return undefined;
}

interface Rule {
  readonly pool: (name: string) => boolean;
  readonly tool: (name: string) => boolean;
  readonly writes: boolean;
}

const always = () => true;

function toRule({ pools, tools, readOnly = false }: Grant): Rule {
  return {
    pool: pools ? (name) => pools.includes(name) : always,
    tool: tools ? (name) => tools.some((pattern) => matches(pattern, name)) : always,
    writes: !readOnly,
  };
}

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}
