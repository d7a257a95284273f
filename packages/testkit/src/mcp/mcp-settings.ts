import type { McpFault } from "./mcp-fault.ts";

/** A tool of a fake server. Every tool answers with `<server> <tool> <arguments as JSON>`, or with `text`. */
export interface McpTool {
  readonly name: string;
  readonly annotations?: Readonly<Record<string, boolean | string>>;
  readonly text?: string;
  /** Answers with `isError`. */
  readonly isError?: boolean;
  /** As it is in the list; also one that is no valid schema. */
  readonly inputSchema?: Readonly<Record<string, unknown>>;
  /** The same of its answers. */
  readonly outputSchema?: Readonly<Record<string, unknown>>;
  /** Comes with each answer. */
  readonly structuredContent?: unknown;
}

/**
 * `legacy`: begins with `initialize` (2025-11-25). `modern`: stands alone in each request (2026-07-28). `both`: as the
 * client likes.
 */
export type McpEra = "legacy" | "modern" | "both";

/** What a fake server is like. Plain data: it may have to travel to another process. */
export interface McpSettings {
  readonly name: string;
  readonly era: McpEra;
  readonly tools: readonly McpTool[];
  readonly faults: readonly McpFault[];
}

/** `read` may be repeated and harms nothing, `put` may be repeated, `add` may not. */
export const DEFAULT_TOOLS: readonly McpTool[] = [
  { name: "read", annotations: { readOnlyHint: true } },
  { name: "put", annotations: { idempotentHint: true } },
  { name: "add" },
  { name: "fail", annotations: { readOnlyHint: true }, isError: true, text: "it failed" },
];
