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
 * provides {@link EXTENSION}; there may be several.
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

/** Several extensions as one, in their order; undefined for none. */
export function joined(extensions: readonly Extension[]): Extension | undefined {
  const [first, ...others] = extensions;
  if (!first || others.length === 0) return first;
  return {
    tools: extensions.flatMap(({ tools = [] }) => tools),
    capabilities: Object.assign({}, ...extensions.map(({ capabilities }) => capabilities)) as ServerCapabilities,
    connect(server) {
      for (const extension of extensions) extension.connect?.(server);
    },
    watch(listener) {
      const watches = extensions.map((extension) => extension.watch?.(listener));
      return {
        [Symbol.dispose]() {
          for (const watch of watches) watch?.[Symbol.dispose]();
        },
      };
    },
  };
}
