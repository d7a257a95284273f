import type { JSONRPCRequest } from "@modelcontextprotocol/client";

const VERSION_KEY = "io.modelcontextprotocol/protocolVersion";

/**
 * What the modern era repeats of a request in its headers, so that proxies need not read the body. They must be equal to
 * what stands there.
 */
export function requestHeaders(
  request: JSONRPCRequest | undefined,
  more: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const { _meta: meta, ...params } = request?.params ?? {};
  const version = meta?.[VERSION_KEY];
  if (!request || typeof version !== "string") return {};
  const name = nameOf(request.method, params);
  return {
    "mcp-protocol-version": version,
    "mcp-method": request.method,
    ...(name !== undefined && { "mcp-name": headerValue(name) }),
    ...Object.fromEntries(Object.entries(more).map(([header, value]) => [header.toLowerCase(), headerValue(value)])),
  };
}

function nameOf(method: string, params: Readonly<Record<string, unknown>>): string | undefined {
  const field = method === "resources/read" ? "uri" : method === "tools/call" || method === "prompts/get" ? "name" : "";
  const name = params[field];
  return typeof name === "string" ? name : undefined;
}

/** What a header cannot carry as it is goes in base64, marked as such; and so does what looks marked. */
function headerValue(text: string): string {
  const plain = /^[\x20-\x7e]*$/.test(text) && text === text.trim() && !/^=\?base64\?.*\?=$/i.test(text);
  return plain ? text : `=?base64?${Buffer.from(text, "utf8").toString("base64")}?=`;
}
