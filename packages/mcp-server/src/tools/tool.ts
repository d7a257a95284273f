import { DavpoolError, formatIssue, validator, type Caller, type ConfigIssue } from "@davpool/core";
import type { Static, TObject } from "typebox";
import { refusal, type Access } from "../identity/access.ts";

/** What a tool is told about the call besides its arguments. */
export interface ToolCall {
  /** Aborts when the client cancels the request or goes away. */
  readonly signal: AbortSignal;
  readonly caller: Caller;
  /** What the caller may do. */
  readonly access: Access;
  /** Milliseconds within which the call is answered, if the host limits it. */
  readonly limit?: number;
}

/** A tool as this package defines it: schema, behaviour and hints in one place. */
export interface Tool {
  /** `[A-Za-z0-9_-]{1,64}` */
  readonly name: string;
  /** The pool that it is about. */
  readonly pool: string;
  /** Some calls of it change nothing, so whoever may only read has a use for it. */
  readonly mayRead: boolean;
  /** It sends requests to servers of the pool. */
  readonly asksServers: boolean;
  /** It changes the servers of the pool, for which a grant of its own is needed. */
  readonly manages: boolean;
  readonly definition: ToolDefinition;
  /** @throws DavpoolError for bad arguments, for what the caller may not do, and for what the pool refuses. */
  run(written: unknown, call: ToolCall): Promise<ToolAnswer>;
}

export interface ToolAnswer {
  readonly value: Readonly<Record<string, unknown>>;
  /** The call as a whole failed, although there is something to show. */
  readonly isError?: boolean;
}

/** As `tools/list` shows it. */
export interface ToolDefinition {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly inputSchema: object;
  readonly outputSchema: object;
  readonly annotations: {
    readonly readOnlyHint: boolean;
    readonly destructiveHint: boolean;
    readonly idempotentHint: boolean;
    readonly openWorldHint: boolean;
  };
}

export interface ToolSource<S extends TObject> {
  /** Default: false. */
  readonly asksServers?: boolean;
  /** Default: false. */
  readonly manages?: boolean;
  readonly name: string;
  readonly pool: string;
  readonly title: string;
  readonly description: string;
  readonly input: S;
  readonly output: TObject;
  readonly annotations: ToolDefinition["annotations"];
  /** Whether this call changes nothing. Default: what the annotations say of all calls. */
  safe?(input: Static<S>): boolean;
  run(input: Static<S>, call: ToolCall): Promise<ToolAnswer> | ToolAnswer;
}

/** `INVALID_ARGUMENTS`: a tool was called with wrong arguments; lists every problem. */
export class InvalidArgumentsError extends DavpoolError {
  constructor(tool: string, issues: readonly ConfigIssue[]) {
    super("INVALID_ARGUMENTS", `The arguments of ${tool} are not valid. ${issues.map(formatIssue).join(" ")}`, {
      details: { issues },
    });
  }
}

/** `ACCESS_DENIED`: the caller may not do this. */
export class AccessDeniedError extends DavpoolError {
  constructor(tool: string, reason: string) {
    super("ACCESS_DENIED", `${reason} Ask whoever runs davpool for a scope that grants it.`, { details: { tool } });
  }
}

/** Makes a tool that checks its arguments and fills in their defaults before it runs. */
export function defineTool<S extends TObject>(source: ToolSource<S>): Tool {
  const { name, pool, title, description, input, output, annotations, asksServers = false, manages = false } = source;
  const check = validator(input);
  return {
    name,
    pool,
    mayRead: annotations.readOnlyHint || source.safe !== undefined,
    asksServers,
    manages,
    definition: { name, title, description, inputSchema: plain(input), outputSchema: plain(output), annotations },
    run: async (written, call) => {
      // Defaults are filled in, and only at the top.
      const checked: unknown = { ...(written as object | undefined) };
      const issues = check(checked);
      if (issues.length > 0) throw new InvalidArgumentsError(name, issues);
      const parameters = checked as Static<S>;
      const safe = source.safe?.(parameters) ?? annotations.readOnlyHint;
      const refused = refusal(call.access, { tool: name, pool, safe, manages });
      if (refused !== undefined) throw new AccessDeniedError(name, refused);
      return source.run(parameters, call);
    },
  };
}

/** Plain JSON Schema, without what only our own messages use. */
function plain(schema: TObject): object {
  return JSON.parse(JSON.stringify(schema, (key, value: unknown) => (key === "expects" ? undefined : value))) as object;
}
