/** Something that goes wrong with every kind of fake server. */
export type McpCommonFault =
  /** It has answered so many calls; the next one it carries out, and dies before it answers. */
  | { readonly kind: "crash"; readonly after: number }
  /** It dies when a session is about to begin. */
  | { readonly kind: "crash-before-ready" }
  /** It reads, and never answers: the beginning of a session, or calls. Until the fault is switched off. */
  | { readonly kind: "hang"; readonly on: "initialize" | "call" }
  /** It answers calls with a message of so many bytes (10 MB). */
  | { readonly kind: "long-line"; readonly bytes?: number }
  /** It answers calls with half a message. */
  | { readonly kind: "invalid-json" }
  /** It answers calls with another text than its replicas. */
  | { readonly kind: "wrong-answer"; readonly text: string }
  /** It answers calls with a JSON-RPC error. */
  | { readonly kind: "error"; readonly code: number; readonly message: string };

/** Something that goes wrong with processes alone. */
export type McpStdioFault =
  /** It ends as soon as it runs, with this code (1). */
  | { readonly kind: "exit-at-once"; readonly code?: number }
  /** It ends when it hears of `server/discover`, as some servers of the older era do. */
  | { readonly kind: "exit-on-discover" }
  /** It writes what is no message before each of its answers. */
  | { readonly kind: "garbage" }
  /** It neither ends when its input does nor when it is asked to. */
  | { readonly kind: "stubborn" };

/** Something that goes wrong over HTTP alone. */
export type McpHttpFault =
  /** It answers calls, or with `on: "initialize"` the beginning, with this status. */
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly on?: "initialize" | "call";
    }
  /** It answers requests of a session that it does not know with this, and not with 404. */
  | { readonly kind: "unknown-session"; readonly status: number; readonly text: string }
  /** It closes the connection of a call that it has carried out: reset at once, or after the head of a stream. */
  | { readonly kind: "cut"; readonly when: "before-head" | "in-stream" };

/** Something that goes wrong with a fake MCP server, as long as it is switched on. */
export type McpFault = McpCommonFault | McpStdioFault | McpHttpFault;

export type McpFaultKind = McpFault["kind"];

export function faultOf<K extends McpFaultKind>(
  faults: readonly McpFault[],
  kind: K,
): Extract<McpFault, { kind: K }> | undefined {
  return faults.find((fault): fault is Extract<McpFault, { kind: K }> => fault.kind === kind);
}
