import type { Secret, ServerProfile, Wire } from "@davpool/core";

/** The requests that a pool of MCP servers takes. What belongs to a connection (`initialize`, `ping`) is its own affair. */
export type McpMethod =
  | "tools/list"
  | "tools/call"
  | "resources/list"
  | "resources/templates/list"
  | "resources/read"
  | "resources/subscribe"
  | "resources/unsubscribe"
  | "prompts/list"
  | "prompts/get"
  | "completion/complete"
  | "logging/setLevel";

/** What a tool says of itself. Only what it says plainly counts; whoever trusts nobody leaves it out. */
export interface ToolAnnotations {
  readonly readOnlyHint?: boolean;
  readonly idempotentHint?: boolean;
  readonly destructiveHint?: boolean;
  readonly openWorldHint?: boolean;
}

/** One request to whichever server the pool picks. Ids and the envelope of the protocol's version are added on the way. */
export interface McpRequest {
  readonly method: McpMethod;
  readonly params?: Readonly<Record<string, unknown>>;
  /**
   * For `tools/call`: what the tool's entry in the list says of it. It decides whether the call may be repeated; without
   * it, it may not.
   */
  readonly annotations?: ToolAnnotations;
  /** Ids of the servers that can take the request, where replicas have different tools. Default: all. */
  readonly servers?: ReadonlySet<string>;
  /**
   * For `tools/call` to servers of the modern era that are reached over HTTP: arguments that the tool's schema has clients
   * repeat in headers (`Mcp-Param-*`), by header. Values may hold any character.
   */
  readonly headers?: Readonly<Record<string, string>>;
  /** Whatever the sender wants to find again in the request when it hears about it; it is not sent. */
  readonly origin?: unknown;
  /**
   * Told when the server ends the stream of its answer before that has come, and wants to be asked for it later: hosts may
   * let go of their clients meanwhile. The answer comes all the same.
   */
  readonly onParted?: () => void;
  /** Told of each `notifications/progress` of this request. Progress lengthens the attempt's time in any case. */
  readonly onProgress?: (progress: McpProgress) => void;
  /**
   * What the client behind this one request can do. A server of the modern era is told this instead of what the session
   * says; one of the older era has been told when its session began.
   */
  readonly capabilities?: Readonly<Record<string, unknown>>;
}

export interface McpProgress {
  readonly progress: number;
  readonly total?: number;
  readonly message?: string;
}

export interface McpError {
  readonly code: number;
  readonly message: string;
  readonly data?: unknown;
}

/** An HTTP answer that is no MCP message: a gateway's 503, a refused token. */
export interface McpRefusal {
  readonly status: number;
  /** One line, free of secrets and of what the server wrote. */
  readonly message: string;
  /** The server refused the credentials that the request carried (HTTP 401). */
  readonly credentials?: true;
  /** As it came. */
  readonly retryAfter?: string;
}

/**
 * What a server said. A JSON-RPC error and a result with `isError` are answers like any other: the server has spoken.
 * Exactly one of the three is there.
 */
export type McpResponse =
  | { readonly result: Readonly<Record<string, unknown>>; readonly error?: never; readonly refusal?: never }
  | { readonly error: McpError; readonly result?: never; readonly refusal?: never }
  | { readonly refusal: McpRefusal; readonly result?: never; readonly error?: never };

/** Client credentials (RFC 6749 §4.4), for servers that want OAuth tokens. */
export interface OAuthProfile {
  /** The token endpoint itself. Give this or `issuer`. */
  readonly tokenUrl?: string;
  /** The authorization server, whose metadata (RFC 8414) names the token endpoint. */
  readonly issuer?: string;
  readonly clientId: string;
  readonly clientSecret: Secret;
  readonly scopes?: readonly string[];
}

/** One MCP server: a command to run, or an address. */
export interface McpProfile extends ServerProfile {
  /** A program, or a program and its arguments. It speaks MCP over its standard input and output. */
  readonly command?: string | readonly string[];
  /** Arguments, where `command` is the program alone. */
  readonly args?: readonly string[];
  /** Variables of davpool's own environment that the program gets, beyond HOME, LOGNAME, PATH, SHELL, TERM and USER. */
  readonly inheritEnv?: readonly string[];
  /** Variables with values of their own. */
  readonly env?: Readonly<Record<string, Secret>>;
  /** Relative paths count from the configuration's folder. */
  readonly cwd?: string;
  /** The MCP endpoint. */
  readonly url?: string;
  /** `http` is Streamable HTTP; `sse` the HTTP+SSE of 2024. Default: http. */
  readonly transport?: "http" | "sse";
  readonly token?: Secret;
  readonly headers?: Readonly<Record<string, Secret>>;
  readonly oauth?: OAuthProfile;
  /** Which generation of the protocol to speak. Default: find out. */
  readonly era?: Era | "auto";
}

/** `legacy`: a session begins with `initialize` (to 2025-11-25). `modern`: each request stands alone (from 2026-07-28). */
export type Era = "legacy" | "modern";

export interface McpWire extends Wire {
  request: McpRequest;
  response: McpResponse;
  profile: McpProfile;
}
