import type { Grant } from "./section.ts";

/**
 * What a principal may do: the union of the grants it has. A grant counts as a whole, so "read everything" and "write
 * in pool a" together never become "write everywhere".
 */
export interface Access {
  /** Also what belongs to no pool, such as the tools of an extension. */
  readonly unlimited: boolean;
  /** Whether some grant is about this pool. */
  allowsPool(pool: string): boolean;
  /** Whether the tool is there for the principal, under the name that clients see. Ask {@link refusal} before a call. */
  allowsTool(tool: string, pool: string): boolean;
  /** Whether the resource at this address, as clients see it, may be read and listened to. */
  allowsResource(uri: string, pool: string): boolean;
  /** Whether some resource of this template, as clients see it, may be read. */
  allowsTemplate(template: string, pool: string): boolean;
  /** Whether the prompt may be used, under the name that clients see. */
  allowsPrompt(prompt: string, pool: string): boolean;
  /** In this pool and with this tool nothing may be changed. True also where the tool is not allowed at all. */
  readOnly(tool: string, pool: string): boolean;
  /** Whether servers of this pool may be added, changed, removed and activated. */
  manages(pool: string): boolean;
}

/** A call that a principal is about to make. */
export interface ToolUse {
  /** As clients see it. */
  readonly tool: string;
  readonly pool: string;
  /**
   * The call changes nothing: the tool is known to read only, or it sends one request and the request's traits are
   * safe. Where tools are listed: some calls of it can be safe.
   */
  readonly safe: boolean;
  /** It changes the servers of the pool, and not what is on them. Default: false. */
  readonly manages?: boolean;
}

const always = () => true;

/** Access without limits, for stdio and for servers that ask nobody who they are. */
export const fullAccess: Access = {
  unlimited: true,
  allowsPool: always,
  allowsTool: always,
  allowsResource: always,
  allowsTemplate: always,
  allowsPrompt: always,
  readOnly: () => false,
  manages: always,
};

/** What everybody with a token may do where no scopes are configured: everything but managing servers. */
export const memberAccess: Access = { ...fullAccess, manages: () => false };

/** Access by the union of grants; without any, nothing is allowed. */
export function accessOf(grants: readonly Grant[]): Access {
  const rules = grants.map(toRule);
  const some = (test: (rule: Rule) => boolean) => rules.some(test);
  return {
    unlimited: false,
    allowsPool: (pool) => some((rule) => rule.pool(pool)),
    allowsTool: (tool, pool) => some((rule) => rule.pool(pool) && rule.tool(tool)),
    allowsResource: (uri, pool) => some((rule) => rule.pool(pool) && rule.resource(uri)),
    allowsTemplate: (template, pool) => some((rule) => rule.pool(pool) && rule.template(template)),
    allowsPrompt: (prompt, pool) => some((rule) => rule.pool(pool) && rule.prompt(prompt)),
    readOnly: (tool, pool) => !some((rule) => rule.writes && rule.pool(pool) && rule.tool(tool)),
    manages: (pool) => some((rule) => rule.manages && rule.pool(pool)),
  };
}

/** Why a call is not allowed, in words for who makes it; undefined when it is. Unknown pools and forbidden ones look alike. */
export function refusal(access: Access, { tool, pool, safe, manages = false }: ToolUse): string | undefined {
  if (!access.allowsPool(pool)) return `You have no access to the pool "${pool}".`;
  if (manages) return access.manages(pool) ? undefined : `You may not change the servers of the pool "${pool}".`;
  if (!access.allowsTool(tool, pool)) return `You may not use ${tool} in the pool "${pool}".`;
  if (!safe && access.readOnly(tool, pool))
    return `You may only read in the pool "${pool}" with ${tool}; this call could change something.`;
  return undefined;
}

interface Rule {
  readonly pool: (name: string) => boolean;
  readonly tool: (name: string) => boolean;
  readonly resource: (uri: string) => boolean;
  readonly template: (template: string) => boolean;
  readonly prompt: (name: string) => boolean;
  readonly writes: boolean;
  readonly manages: boolean;
}

function toRule({ pools, tools, resources, prompts, readOnly = false, manage = false }: Grant): Rule {
  // A grant that names anything opens nothing else.
  const usual = [tools, resources, prompts].every((list) => list === undefined) ? ["*"] : [];
  return {
    pool: pools ? (name) => pools.includes(name) : always,
    tool: matching(tools ?? usual, matches),
    resource: matching(resources ?? usual, matchesAddress),
    template: matching(resources ?? usual, matchesTemplate),
    prompt: matching(prompts ?? usual, matches),
    writes: !readOnly,
    manages: manage,
  };
}

type Matches = (pattern: string, text: string) => boolean;

function matching(patterns: readonly string[], fits: Matches): (text: string) => boolean {
  return (text) => patterns.some((pattern) => fits(pattern, text));
}

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** A segment of dots, which leads out of the folder that an address begins with. */
const DOTS = /(?:^|[/\\])(?:\.|%2e){1,2}(?:$|[/\\?#])/i;

function matchesAddress(pattern: string, uri: string): boolean {
  if (!matches(pattern, uri)) return false;
  return pattern === "*" || !DOTS.test(uri.replaceAll(/%2f|%5c/gi, "/"));
}

/** Whether an address can come out of the template that fits the pattern, by what stands before the first variable. */
function matchesTemplate(pattern: string, template: string): boolean {
  const [beginning = ""] = template.split("{", 1);
  if (!pattern.endsWith("*")) return pattern.startsWith(beginning);
  const wanted = pattern.slice(0, -1);
  return beginning.startsWith(wanted) || wanted.startsWith(beginning);
}
