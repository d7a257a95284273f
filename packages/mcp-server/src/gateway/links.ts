import type { Addresses } from "./addresses.ts";
import type { Fields } from "./messages.ts";

/** A result with the addresses of resources in it as clients know them: links in content, embedded resources, contents. */
export function withAddresses(result: Fields, addresses: Addresses): Fields {
  const { content, contents, messages } = result;
  return {
    ...withUiAddresses(result, addresses),
    ...(Array.isArray(content) && { content: content.map((block) => shownBlock(block, addresses)) }),
    ...(Array.isArray(contents) && { contents: contents.map((part) => shownUri(part, addresses)) }),
    ...(Array.isArray(messages) && {
      messages: messages.map((message) => ({ ...message, content: shownBlock(message?.content, addresses) })),
    }),
  };
}

/**
 * What has a `_meta` with the address of its user interface as clients know it: `ui.resourceUri` of MCP Apps, and the older
 * `ui/resourceUri`.
 */
export function withUiAddresses(entry: Fields, addresses: Addresses): Fields {
  const meta = entry["_meta"] as Fields | undefined;
  if (typeof meta !== "object" || meta === null) return entry;
  const { ui, [OLDER_UI]: older } = meta;
  const uri = (ui as Fields | null | undefined)?.["resourceUri"];
  if (typeof uri !== "string" && typeof older !== "string") return entry;
  return {
    ...entry,
    _meta: {
      ...meta,
      ...(typeof uri === "string" && { ui: { ...(ui as Fields), resourceUri: addresses.shown(uri) } }),
      ...(typeof older === "string" && { [OLDER_UI]: addresses.shown(older) }),
    },
  };
}

const OLDER_UI = "ui/resourceUri";

function shownBlock(block: unknown, addresses: Addresses): unknown {
  const { type, resource } = (block ?? {}) as Fields;
  if (type === "resource_link") return shownUri(block, addresses);
  return type === "resource" ? { ...(block as Fields), resource: shownUri(resource, addresses) } : block;
}

function shownUri(part: unknown, addresses: Addresses): unknown {
  const uri = (part as Fields | null | undefined)?.["uri"];
  return typeof uri === "string" ? { ...(part as Fields), uri: addresses.shown(uri) } : part;
}
