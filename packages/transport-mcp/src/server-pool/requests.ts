import type {
  CallToolResult,
  GetPromptResult,
  Prompt,
  ReadResourceResult,
  Resource,
  ResourceTemplateType,
  Tool,
} from "@modelcontextprotocol/client";
import type { McpProgress, McpResponse, ToolAnnotations } from "../wire.ts";
import type { ListKind } from "./catalog.ts";
import { McpAnswerError, ServerRefusedError } from "./errors.ts";

/** What may be asked of a pool, and queued, by type. */
export interface Payloads {
  tool_call: { readonly name: string; readonly arguments?: Readonly<Record<string, unknown>> };
  resource_read: { readonly uri: string };
  prompt_get: { readonly name: string; readonly arguments?: Readonly<Record<string, string>> };
}

export interface Results {
  tool_call: CallToolResult;
  resource_read: ReadResourceResult;
  prompt_get: GetPromptResult;
}

export type RequestType = keyof Payloads;

export interface Entries {
  tools: Tool;
  prompts: Prompt;
  resources: Resource;
  resourceTemplates: ResourceTemplateType;
}

export interface RequestOptions {
  /** Only this server, healthy or not. */
  readonly serverId?: string;
  readonly signal?: AbortSignal;
  /** Told of the request's progress, which also lengthens its time. */
  readonly onProgress?: (progress: McpProgress) => void;
  /** For tool calls: what is known of the tool beyond what servers list, which decides whether it may be repeated. */
  readonly annotations?: ToolAnnotations;
}

export const METHOD_OF = {
  tool_call: "tools/call",
  resource_read: "resources/read",
  prompt_get: "prompts/get",
} as const;

/** Where it is listed who can take a request: by which list, under which id. */
export function listingOf<T extends RequestType>(
  type: T,
  payload: Payloads[T],
): { readonly kind: ListKind; readonly id: string } {
  if ("uri" in payload) return { kind: "resources", id: payload.uri };
  return { kind: type === "tool_call" ? "tools" : "prompts", id: payload.name };
}

/** What all replicas say of a tool: what one of them does not promise is not promised. */
export function promisedByAll(descriptions: Iterable<Readonly<Record<string, unknown>>>): ToolAnnotations | undefined {
  let [readOnlyHint, idempotentHint, some] = [true, true, false];
  for (const { annotations } of descriptions) {
    const hints = annotations as ToolAnnotations | undefined;
    some = true;
    readOnlyHint &&= hints?.readOnlyHint === true;
    // What changes nothing may be repeated as well.
    idempotentHint &&= hints?.idempotentHint === true || hints?.readOnlyHint === true;
  }
  return some ? { readOnlyHint, idempotentHint } : undefined;
}

/** @throws McpAnswerError, ServerRefusedError for an answer that is none. */
export function resultOf(serverId: string, { result, error, refusal }: McpResponse): Readonly<Record<string, unknown>> {
  if (error) throw new McpAnswerError(serverId, error);
  if (refusal) throw new ServerRefusedError(serverId, refusal);
  return result;
}
