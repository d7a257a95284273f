export { DEEPEST, isMessage, isTooDeep } from "./message.ts";
export { METHODS } from "./methods.ts";
export { mcp, mcp as default } from "./plugin.ts";
export {
  AnswerTooLargeError,
  ConnectionBrokenError,
  InvalidRequestError,
  NotConnectedError,
  SessionLostError,
  TooManyProcessesError,
  UnusableAnswerError,
} from "./errors.ts";
export { MCP_HOST } from "./host.ts";
export type { AskedAbout, McpHost, UpstreamClient, UpstreamSession } from "./host.ts";
export type {
  Era,
  McpError,
  McpMethod,
  McpProfile,
  McpProgress,
  McpRefusal,
  McpRequest,
  McpResponse,
  McpWire,
  OAuthProfile,
  ToolAnnotations,
} from "./wire.ts";
export { Catalog, LISTS, type Holders, type ListKind, type Listed } from "./server-pool/catalog.ts";
export { Lines } from "./stdio/lines.ts";
export type { Outline } from "./stdio/outline.ts";
export { loadList } from "./server-pool/load-list.ts";
export { promisedByAll } from "./server-pool/requests.ts";
