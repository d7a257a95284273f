import type { Addresses } from "./addresses.ts";
import type { Fields } from "./messages.ts";

/** A result with the addresses of resources in it as clients know them: links in content, embedded resources, contents. */
export function withAddresses(result: Fields, addresses: Addresses): Fields {
  const { content, contents, messages } = result;
  return {
    ...result,
    ...(Array.isArray(content) && { content: content.map((block) => shownBlock(block, addresses)) }),
    ...(Array.isArray(contents) && { contents: contents.map((part) => shownUri(part, addresses)) }),
    ...(Array.isArray(messages) && {
      messages: messages.map((message) => ({ ...message, content: shownBlock(message?.content, addresses) })),
    }),
  };
}

function shownBlock(block: unknown, addresses: Addresses): unknown {
  const { type, resource } = (block ?? {}) as Fields;
  if (type === "resource_link") return shownUri(block, addresses);
  return type === "resource" ? { ...(block as Fields), resource: shownUri(resource, addresses) } : block;
}

function shownUri(part: unknown, addresses: Addresses): unknown {
  const uri = (part as Fields | null | undefined)?.["uri"];
  return typeof uri === "string" ? { ...(part as Fields), uri: addresses.shown(uri) } : part;
}
