import { token } from "@davpool/core";
import type {
  CallToolResult,
  InputRequiredResult,
  Server,
  ServerCapabilities,
  ServerContext,
} from "@modelcontextprotocol/server";

/**
 * What a plugin adds to the MCP server beside the tools of the pools. It is a plugin of the kind `service` that
 * provides {@link EXTENSION}.
 */
export interface Extension {
  /** Listed after the pools' tools, in this order. Names that a pool's tool has already are errors. */
  readonly tools?: readonly ExtensionTool[];
  /** Of methods that {@link Extension.connect} answers. */
  readonly capabilities?: ServerCapabilities;
  /** Sets handlers on the protocol server of one connection, before it is connected. */
  connect?(server: Server): void;
  /** Tells of changes from now on, until disposed of. The tools themselves stay as they are. */
  watch?(listener: ChangeListener): Disposable;
}

/** Hears of changes, which clients are told. */
export interface ChangeListener {
  listChanged(list: "tools" | "resources" | "prompts"): void;
  resourceChanged(uri: string): void;
}

export interface ExtensionTool {
  /** As `tools/list` shows it: `name`, `description`, `inputSchema` and what else there is. */
  readonly definition: { readonly name: string; readonly inputSchema: object; readonly [field: string]: unknown };
  /** @param written the arguments as the client sent them, unchecked. */
  run(written: unknown, context: ServerContext): Promise<ExtensionReply> | ExtensionReply;
}

/** The result, or what the client must say before there is one. */
export type ExtensionReply = CallToolResult | InputRequiredResult;

/** Where the server looks for its extension. */
export const EXTENSION = token<Extension>("davpool:extension");
